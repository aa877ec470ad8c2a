import fc from 'fast-check'
import { test } from 'tap'
import { WaitQueue } from '../../../../src/proxy/pool/wait-queue.ts'

const place = (who: string): { who: string; need: string; deadline: number } => ({
  who,
  need: 'call',
  deadline: 0,
})

await test('the first who came is the first, whoever leaves meanwhile', async t => {
  const queue = new WaitQueue<string, string>(10)
  for (const who of ['a', 'b', 'c', 'd']) t.ok(queue.join(place(who)))
  t.ok(queue.leave('b'))
  t.notOk(queue.leave('b'), 'only once')
  t.equal(queue.first?.who, 'a')
  queue.leave('a')
  t.equal(queue.first?.who, 'c')
  queue.leave('d')
  queue.leave('c')
  t.equal(queue.first, undefined)
  t.ok(queue.join(place('e')))
  t.equal(queue.first?.who, 'e')
})

await test('nobody joins a queue that is full, until somebody leaves', async t => {
  const queue = new WaitQueue<string, string>(2)
  t.same(
    ['a', 'b', 'c'].map(who => queue.join(place(who))),
    [true, true, false],
  )
  queue.leave('a')
  t.ok(queue.join(place('c')))
  t.notOk(new WaitQueue<string, string>(0).join(place('a')), 'a cap of 0 lets nobody wait')
})

await test('behaves as a list does, in any order of events', async t => {
  const events = fc.array(fc.record({ who: fc.nat(8), joins: fc.boolean() }), { maxLength: 60 })
  fc.assert(
    fc.property(events, all => {
      const queue = new WaitQueue<number, string>(5)
      const list: number[] = []
      for (const { who, joins } of all) {
        if (joins && !list.includes(who)) {
          const joined = queue.join({ who, need: 'call', deadline: 0 })
          if (joined !== list.length < 5) throw new Error(`${who} joined: ${joined}`)
          if (joined) list.push(who)
        } else if (!joins) {
          const left = queue.leave(who)
          if (left !== list.includes(who)) throw new Error(`${who} left: ${left}`)
          if (left) list.splice(list.indexOf(who), 1)
        }
        if (queue.size !== list.length || queue.first?.who !== list[0]) throw new Error('differs')
      }
    }),
  )
  t.pass()
})
