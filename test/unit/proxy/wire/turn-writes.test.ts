import { test } from 'tap'
import { TurnWrites } from '../../../../src/proxy/wire/turn-writes.ts'

async function endOfTurn(): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
}

await test('everything due is sent once, in its order, at the end of the turn', async t => {
  const sent: string[] = []
  const writes = new TurnWrites()
  for (const name of ['a', 'b']) writes.add({ sendNow: () => sent.push(name) })
  t.same(sent, [])
  await endOfTurn()
  t.same(sent, ['a', 'b'])
  writes.add({ sendNow: () => sent.push('c') })
  await endOfTurn()
  await endOfTurn()
  t.same(sent, ['a', 'b', 'c'])
})

await test('what becomes due while others are sent is sent, too', async t => {
  const sent: string[] = []
  const writes = new TurnWrites()
  writes.add({
    sendNow: () => {
      sent.push('first')
      writes.add({ sendNow: () => sent.push('second') })
    },
  })
  await endOfTurn()
  await endOfTurn()
  t.same(sent, ['first', 'second'])
})

await test('a turn that has much to send does not keep it all to its end', async t => {
  let sent = 0
  const writes = new TurnWrites()
  for (let count = 0; count < 100; count++) writes.add({ sendNow: () => sent++ })
  t.equal(sent, 96, 'three times 32')
  await endOfTurn()
  t.equal(sent, 100)
})

await test('what is to be on record is committed before each lot of writes, and where there are none', async t => {
  const order: string[] = []
  const writes = new TurnWrites({ commit: () => order.push('commit') })
  for (let count = 0; count < 33; count++) writes.add({ sendNow: () => order.push('send') })
  await endOfTurn()
  const lot = ['commit', ...Array<string>(32).fill('send')]
  t.same(order, [...lot, 'commit', 'send'])
  writes.commitInTurn()
  writes.commitInTurn()
  await endOfTurn()
  t.same(order.slice(35), ['commit'])
})

await test('a turn is under way from the first that is due to its end, also where its end makes something due', async t => {
  const writes = new TurnWrites()
  t.equal(writes.underWay, false)
  writes.add({ sendNow: () => writes.add({ sendNow: () => {} }) })
  t.equal(writes.underWay, true)
  await endOfTurn()
  t.equal(writes.underWay, false)
  writes.commitInTurn()
  t.equal(writes.underWay, true)
  await endOfTurn()
  t.equal(writes.underWay, false)
})
