import { test } from 'tap'
import { commonEnd, commonStart } from '../../../src/config/common-ends.ts'

await test('the first and the last byte that differ are found, wherever they are', t => {
  const size = 200_000
  const former = Buffer.alloc(size, 'line\n')
  const places = [0, 1, 65_535, 65_536, 65_537, 131_071, 131_072, size - 2, size - 1]
  for (const place of places) {
    const next = Buffer.from(former)
    next[place] = 0
    t.equal(commonStart(former, next), place)
    t.equal(commonEnd(former, next, size), size - 1 - place)
    t.equal(
      commonEnd(former, next, 10),
      Math.min(10, size - 1 - place),
      'and no more than asked for',
    )
  }
  t.equal(commonStart(former, former), size)
  t.equal(commonStart(former, former.subarray(0, 77)), 77)
  t.equal(commonEnd(former, former.subarray(5), size - 5), size - 5)
  t.equal(commonStart(former, Buffer.alloc(0)), 0)
  t.end()
})
