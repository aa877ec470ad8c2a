import { test } from 'tap'
import { ListeningSockets } from '../../../../src/proxy/primary/listening-sockets.ts'

class FakeHandle {
  closed = 0
  close(): void {
    this.closed += 1
  }
}

/** Binds nothing, and remembers what it was asked for. */
function lab(errors: Readonly<Record<string, string>> = {}) {
  const bound: { place: string; handle: FakeHandle }[] = []
  const sockets = new ListeningSockets([], async (host, port) => {
    const place = `${host} ${port}`
    const error = errors[place]
    if (error !== undefined) return error
    const handle = new FakeHandle()
    bound.push({ place, handle })
    return handle
  })
  return { sockets, bound }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
const PUBLIC = { listener: 'public', host: '127.0.0.1', port: 80 }

await test('an address is bound once for all workers, and let go with the last of them', async t => {
  const { sockets, bound } = lab()
  const taken = await Promise.all([1, 2, 3].map(worker => sockets.take(worker, PUBLIC)))
  t.equal(new Set(taken).size, 1)
  t.same(
    bound.map(({ place }) => place),
    ['127.0.0.1 80'],
  )
  for (const worker of [1, 2]) sockets.giveBack(worker, PUBLIC)
  await turn()
  t.equal(bound[0]?.handle.closed, 0)
  sockets.giveBack(3, PUBLIC)
  await turn()
  t.equal(bound[0]?.handle.closed, 1)
  await sockets.take(1, PUBLIC)
  t.equal(bound.length, 2, 'and bound anew where somebody wants it again')
})

await test('two listeners at port 0 have a port each, at a fixed one they share it', async t => {
  const { sockets, bound } = lab()
  const any = { host: '127.0.0.1', port: 0 }
  const one = await sockets.take(1, { ...any, listener: 'one' })
  const other = await sockets.take(1, { ...any, listener: 'other' })
  t.not(one, other)
  t.equal(await sockets.take(2, { ...any, listener: 'one' }), one)
  const renamed = await sockets.take(2, { ...PUBLIC, listener: 'renamed' })
  t.equal(await sockets.take(1, PUBLIC), renamed)
  t.equal(bound.length, 3)
})

await test('what cannot be bound is said to each who asks, and tried again with the next', async t => {
  const errors: Record<string, string> = { '127.0.0.1 80': 'EADDRINUSE' }
  const { sockets, bound } = lab(errors)
  t.same(await Promise.all([sockets.take(1, PUBLIC), sockets.take(2, PUBLIC)]), [
    'EADDRINUSE',
    'EADDRINUSE',
  ])
  delete errors['127.0.0.1 80']
  t.equal(await sockets.take(1, PUBLIC), bound[0]?.handle)
})

await test('what a dead worker listened at stays for the one that takes its number', async t => {
  const { sockets, bound } = lab()
  const before = await sockets.take(1, PUBLIC)
  sockets.died(1)
  await turn()
  t.equal(bound[0]?.handle.closed, 0, 'nobody listens, and connections wait')
  t.equal(await sockets.take(1, PUBLIC), before)
  sockets.serves(1)
  await turn()
  t.equal(bound[0]?.handle.closed, 0)
})

await test('what the next worker does not ask for is let go once it serves', async t => {
  const { sockets, bound } = lab()
  await sockets.take(1, PUBLIC)
  await sockets.take(1, { ...PUBLIC, port: 81 })
  sockets.died(1)
  await sockets.take(1, PUBLIC)
  sockets.serves(1)
  await turn()
  t.same(
    bound.map(({ handle }) => handle.closed),
    [0, 1],
  )
})

await test('a worker that nobody follows leaves nothing behind', async t => {
  const { sockets, bound } = lab()
  await sockets.take(1, PUBLIC)
  await sockets.take(2, PUBLIC)
  sockets.died(1)
  sockets.retired(1)
  await turn()
  t.equal(bound[0]?.handle.closed, 0, 'another one listens there')
  sockets.retired(2)
  await turn()
  t.equal(bound[0]?.handle.closed, 1)
})

await test('what is given back twice, or never was taken, is nobody’s loss', async t => {
  const { sockets, bound } = lab()
  sockets.giveBack(1, PUBLIC)
  await sockets.take(1, PUBLIC)
  await sockets.take(2, PUBLIC)
  sockets.giveBack(1, PUBLIC)
  sockets.giveBack(1, PUBLIC)
  await turn()
  t.equal(bound[0]?.handle.closed, 0)
})

await test('what was inherited is bound by nobody again, and let go where nobody wants it', async t => {
  const [wanted, unwanted] = [new FakeHandle(), new FakeHandle()]
  const bound: string[] = []
  const sockets = new ListeningSockets(
    [
      { place: PUBLIC, handle: wanted },
      { place: { ...PUBLIC, port: 81 }, handle: unwanted },
    ],
    async (host, port) => {
      bound.push(`${host} ${port}`)
      return new FakeHandle()
    },
  )
  t.equal(await sockets.take(1, { ...PUBLIC, listener: 'renamed' }), wanted)
  sockets.closeUnwanted()
  await turn()
  t.same([wanted.closed, unwanted.closed], [0, 1])
  t.same(
    (await sockets.held()).map(({ handle }) => handle),
    [wanted],
  )
  t.same(bound, [])
})
