import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'tap'
import { type Door, listenOn } from '../../../../src/proxy/listener/listening-socket.ts'

/** Remembers who was asked for, and lets in whom it is told to. */
class FakeDoor implements Door {
  readonly asked: string[] = []
  readonly accepted: Socket[] = []
  closed = false

  refuses(address: string): boolean {
    this.asked.push(address)
    return this.closed
  }

  accept(socket: Socket): void {
    this.accepted.push(socket)
    socket.end('welcome')
  }
}

/** What a client reads until its connection ends. */
async function visit(port: number, localAddress: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', localAddress })
  let text = ''
  socket.on('data', (piece: Buffer) => {
    text += piece.toString()
  })
  socket.on('error', () => {})
  await once(socket, 'close')
  return text
}

for (const host of ['127.0.0.1', undefined])
  await test(`whom the door refuses is closed without a socket (${host ?? 'both families'})`, async t => {
    const first = new FakeDoor()
    const second = new FakeDoor()
    let door = first
    const socket = await listenOn({
      listener: 'public',
      host,
      port: 0,
      sockets: undefined,
      probe: 0,
      door: () => door,
      failed: error => t.fail(error),
    })
    if ('error' in socket) throw socket.error
    const port = Number(socket.address.slice(socket.address.lastIndexOf(':') + 1))
    t.equal(await visit(port, '127.0.0.2'), 'welcome')
    first.closed = true
    t.equal(await visit(port, '127.0.0.3'), '')
    t.equal(first.accepted.length, 1)
    t.match(first.asked, [/127\.0\.0\.2$/, /127\.0\.0\.3$/])
    door = second
    t.equal(await visit(port, '127.0.0.4'), 'welcome', 'another one has the door')
    t.equal(first.asked.length, 2)
    t.equal(second.accepted.length, 1)
    socket.close()
  })
