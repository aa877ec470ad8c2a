import fc from 'fast-check'
import { test } from 'tap'
import { shortBytes, shortCount, shortPart } from '../../../../src/cli/top/figures.ts'

await test('counts', t => {
  const cases: [number, string][] = [
    [0, '0'],
    [0.004, '<0.01'],
    [0.04, '0.04'],
    [0.5, '0.5'],
    [3, '3'],
    [9.994, '9.99'],
    [9.996, '10'],
    [12.34, '12.3'],
    [99.94, '99.9'],
    [99.96, '100'],
    [4_211, '4211'],
    [9_999, '9999'],
    [9_999.6, '10.0k'],
    [123_456, '123k'],
    [999_600, '1.00M'],
    [4_200_000, '4.20M'],
  ]
  for (const [value, text] of cases) t.equal(shortCount(value), text, String(value))
  t.end()
})

await test('bytes', t => {
  const cases: [number, string][] = [
    [0, '0'],
    [512.4, '512'],
    [1_023.6, '1.00K'],
    [1_536, '1.50K'],
    [1_023.9 * 1_024, '1.00M'],
    [12.3 * 1_024 ** 2, '12.3M'],
    [3 * 1_024 ** 3, '3.00G'],
  ]
  for (const [value, text] of cases) t.equal(shortBytes(value), text, String(value))
  t.end()
})

await test('parts', t => {
  const parts = [0, 0.004, 0.5, 1, 1.234, 9.99, 10, 1e9].map(shortPart)
  t.same(parts, ['0%', '0%', '50%', '100%', '123%', '999%', '>9x', '>9x'])
  t.end()
})

await test('nothing is longer than a column', t => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 9e17, noNaN: true }), value =>
      [shortCount(value), shortBytes(value), shortPart(value)].every(text => text.length <= 5),
    ),
  )
  t.pass('whatever it is')
  t.end()
})
