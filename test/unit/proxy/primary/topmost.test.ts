import fc from 'fast-check'
import { test } from 'tap'
import { Topmost } from '../../../../src/proxy/primary/topmost.ts'

await test('the first of all, as if all had been sorted', t => {
  const compare = (a: number, b: number): number => b - a
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer()), fc.integer({ min: 1, max: 9 }), (all, most) => {
      const topmost = new Topmost<number>(most, compare)
      for (const item of all) topmost.add(item)
      const expected = all.toSorted(compare).slice(0, most)
      return JSON.stringify(topmost.items()) === JSON.stringify(expected)
    }),
  )
  t.pass('for any of them')
  t.end()
})
