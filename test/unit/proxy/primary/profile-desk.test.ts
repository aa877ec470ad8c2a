import { test } from 'tap'
import type { OperatorOrder } from '../../../../src/proxy/ipc.ts'
import { ProfileDesk } from '../../../../src/proxy/primary/profile-desk.ts'

const REQUEST = { what: 'cpu', ms: 60_000 } as const

await test('whoever leaves before the first piece is read leaves nothing behind', async t => {
  const orders: OperatorOrder[] = []
  const desk: ProfileDesk = new ProfileDesk(() => ({
    serving: [1],
    send: (_, { order }) => {
      orders.push(order)
      if (order.kind === 'profile-next') desk.answered(order.id, { text: '{', last: false })
    },
  }))
  const timers = (): number =>
    process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  const result = await desk.take(1, REQUEST, new AbortController().signal)
  if (!('stream' in result)) throw new Error('it is refused')
  t.equal(timers(), before + 1)
  result.stream.destroy()
  await new Promise(resolve => result.stream.once('close', resolve))
  t.equal(orders.at(-1)?.kind, 'profile-end')
  t.equal(timers(), before, 'nothing keeps the process alive')
  const again = await desk.take(1, REQUEST, new AbortController().signal)
  t.ok('stream' in again, 'and the next one may come')
  if ('stream' in again) again.stream.destroy()
})
