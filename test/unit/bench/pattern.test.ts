import { test } from 'tap'
import { makePattern, PATTERN_BYTES, patternFault } from '../../../bench/harness/pattern.ts'

const PATTERN = makePattern()

await test('the pattern is right at every place, however it is cut', async t => {
  for (let from = 0; from < 9; from += 1)
    for (let to = from; to < 18; to += 1)
      t.equal(patternFault(PATTERN.subarray(from, to), from), undefined, `${from} to ${to}`)
  const twice = Buffer.concat([PATTERN.subarray(-10), PATTERN.subarray(0, 10)])
  t.equal(patternFault(twice, PATTERN_BYTES - 10), undefined, 'where it begins anew')
})

await test('bytes that were lost or doubled show in whatever comes behind them', async t => {
  for (const shift of [-4_096, -3, -1, 1, 2, 16_384])
    t.match(
      patternFault(PATTERN.subarray(65_536, 131_072), 65_536 + shift),
      /instead of/,
      `${shift}`,
    )
})

await test('a piece whose end is of another place is found out', async t => {
  const mixed = Buffer.concat([PATTERN.subarray(0, 100), PATTERN.subarray(200, 300)])
  t.match(patternFault(mixed, 0), /instead of/)
})
