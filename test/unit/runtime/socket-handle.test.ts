/** That the handle of a socket is as we take it to be in the Node that we bring, and reads and writes as a stream does. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { test } from 'tap'
import { PENDING, SocketHandle } from '../../../src/runtime/socket-handle.ts'
import { turns } from '../../support/raw-client.ts'
import { socketPair } from '../../support/socket-pair.ts'

function handleOf(socket: Socket): SocketHandle {
  const handle = SocketHandle.of(socket)
  if (handle === undefined) throw new Error('this is not the Node that we bring')
  return handle
}

await test('anything but a socket has none', t => {
  t.equal(SocketHandle.of(new Duplex()), undefined)
  t.end()
})

await test('reads into the buffer that it was given, and then into the one that it is given back', async t => {
  const { near, far } = await socketPair(t)
  const [first, second] = [Buffer.alloc(8), Buffer.alloc(8)]
  const read = Promise.withResolvers<void>()
  const lengths: number[] = []
  const handle = handleOf(near)
  handle.readInto(first, {
    take: length => {
      lengths.push(length)
      if (lengths.length === 2) read.resolve()
      return second
    },
  })
  handle.start()
  far.write('0123456789')
  await read.promise
  t.same(lengths, [8, 2])
  t.equal(first.toString(), '01234567')
  t.equal(second.toString('latin1', 0, 2), '89')
  t.equal(near.readableLength, 0, 'the stream has seen nothing')
})

await test('is not read while it is stopped, and the end comes through the stream', async t => {
  const { near, far } = await socketPair(t)
  const handle = handleOf(near)
  const buffer = Buffer.alloc(64)
  let text = ''
  handle.readInto(buffer, {
    take: length => {
      text += buffer.toString('latin1', 0, length)
      return undefined
    },
  })
  handle.stop()
  await new Promise<void>(resolve => far.write('held', () => resolve()))
  await new Promise(resolve => setImmediate(resolve))
  t.equal(text, '')
  handle.start()
  far.end('end')
  await once(near, 'end')
  t.equal(text, 'heldend')
  handle.start()
  t.notOk(near.destroyed, 'half of it is still open')
})

await test('a failure of the connection comes through the stream', async t => {
  const { near, far } = await socketPair(t)
  const handle = handleOf(near)
  handle.readInto(Buffer.alloc(8), { take: () => undefined })
  handle.start()
  const failed = once(near, 'error')
  far.resetAndDestroy()
  const [error] = (await failed) as [NodeJS.ErrnoException]
  t.equal(error.code, 'ECONNRESET')
})

await test('writes text and bytes in their order, and says when what was pending has left', async t => {
  const { near, far } = await socketPair(t)
  const handle = handleOf(near)
  const never = {
    writeSettled: (): void => {
      t.fail('not pending')
    },
  }
  t.equal(handle.writeText('\xe4b', never), 0)
  t.equal(handle.writeBytes([Buffer.from('c')], never), 0)
  t.equal(handle.writeBytes([Buffer.from('d'), Buffer.from('e')], never), 0)
  // Nobody reads: sooner or later the kernel takes no more.
  const piece = Buffer.alloc(1024 * 1024, 'x')
  const settled = Promise.withResolvers<number>()
  let pieces = 1
  while (handle.writeBytes([piece], { writeSettled: settled.resolve }) !== PENDING && pieces < 64)
    pieces++
  t.ok(handle.unsent > 0)
  let received = 0
  const start: Buffer[] = []
  far.on('data', (chunk: Buffer) => {
    if (received < 5) start.push(chunk)
    received += chunk.length
  })
  t.equal(await settled.promise, 0)
  t.equal(handle.unsent, 0)
  near.end()
  await once(far, 'end')
  t.equal(received, 5 + pieces * piece.length)
  t.equal(Buffer.concat(start).toString('latin1', 0, 5), '\xe4bcde')
})

await test('a write to a connection that is gone is an error, not an exception', async t => {
  const { near } = await socketPair(t)
  const handle = handleOf(near)
  const bytes = Buffer.from('x')
  const writer = { writeSettled: (): void => {} }
  near.destroy()
  t.ok(handle.writeText('x', writer) < 0)
  t.ok(handle.writeBytes([bytes], writer) < 0)
  await once(near, 'close')
  // Now it is not even a handle any more.
  await turns(2)
  t.ok(handle.writeText('x', writer) < 0)
  t.ok(handle.writeBytes([bytes], writer) < 0)
  t.ok(handle.writeBytes([bytes, bytes], writer) < 0)
})
