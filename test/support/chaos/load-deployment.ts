/** The deployment of a tenant under load: it answers by the path, echoes streams, and counts what it serves. */
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { countedDeployment, serveHttp } from '../counted-peers.ts'
import { chunked } from '../cross-tenant/body-decoder.ts'
import { FramePeer } from '../http2/frame-peer.ts'
import type { FrameStream } from '../http2/frame-stream.ts'
import type { StrictRequest } from '../strict-http1.ts'
import { type Counts, keyOf } from './counts.ts'

/** Begins a tunnel; a letter for the listener follows. */
export const TUNNEL_MARK = '\x01'
const LISTENER_OF_LETTER: Readonly<Record<string, string>> = { p: 'private', t: 'tls' }
const CHUNK_BYTES = 8_000
const FILLER = Buffer.alloc(1024 * 1024, 'd')

/** Of HTTP/2. */
const PREFACE = 'PRI '
/** What the head of an answer takes at most, and each frame beside its data. */
const HEAD_OCTETS = 100
const FRAME_OCTETS = 9

/** Starts it on a port of its own, for HTTP/1.1, HTTP/2 and tunnels alike; returns the port. */
export async function loadDeployment(t: Test, tenant: string, counts: Counts): Promise<number> {
  const http = serveHttp((request, socket) => answer(request, socket))
  const answer = (request: StrictRequest, socket: Socket): void => {
    const [, operation = '', listener = '', size = '0'] = request.target.split('/')
    const count = counts.at(keyOf(tenant, operation, listener))
    count.served++
    if (operation === 'upgrade') {
      const head =
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n'
      count.gave += head.length
      socket.write(head)
      echo(socket, count)
      return
    }
    const bytes = answerBytes(operation, Number(size))
    count.gave += bytes.length
    socket.write(bytes)
  }
  const { port } = await countedDeployment(t, (socket, deployment) => {
    socket.once('data', (first: Buffer) => {
      if (first.toString('latin1', 0, PREFACE.length) === PREFACE) {
        serveStreams(socket, tenant, counts)
        socket.emit('data', first)
        return
      }
      if (first.toString('latin1', 0, 1) !== TUNNEL_MARK) {
        http(socket, deployment)
        socket.emit('data', first)
        return
      }
      const listener = LISTENER_OF_LETTER[first.toString('latin1', 1, 2)] ?? ''
      echo(socket, counts.at(keyOf(tenant, 'tunnel', listener)), first)
    })
  })
  return port
}

function serveStreams(socket: Socket, tenant: string, counts: Counts): void {
  const peer = new FramePeer(socket, 'server')
  const serve = async (stream: FrameStream): Promise<void> => {
    const path = stream.sections[0]?.find(([name]) => name === ':path')?.[1] ?? ''
    const [, operation = '', listener = '', size = '0'] = path.split('/')
    await stream.until(() => stream.remoteEnded || stream.over)
    if (!stream.remoteEnded) return
    const count = counts.at(keyOf(tenant, operation, listener))
    count.served++
    const body = FILLER.subarray(0, Number(size))
    count.gave += HEAD_OCTETS + body.length + FRAME_OCTETS * Math.ceil(body.length / CHUNK_BYTES)
    stream.section([
      [':status', '200'],
      ['x-deployment', 'yes'],
      ...(operation === 'chunked' ? [] : [['content-length', size] as const]),
    ])
    stream.write(body, { frame: CHUNK_BYTES })
    stream.onOver = () => peer.streams.delete(stream.id)
    stream.end()
  }
  peer.onStream = stream => void serve(stream)
  socket.on('end', () => socket.end())
}

function answerBytes(operation: string, size: number): Buffer {
  const body = FILLER.subarray(0, size)
  if (operation !== 'chunked') {
    const head = `HTTP/1.1 200 OK\r\nx-deployment: yes\r\ncontent-length: ${size}\r\n\r\n`
    return Buffer.concat([Buffer.from(head), body])
  }
  const head = 'HTTP/1.1 200 OK\r\nx-deployment: yes\r\ntransfer-encoding: chunked\r\n\r\n'
  return Buffer.concat([Buffer.from(head), chunked(body, CHUNK_BYTES)])
}

/** Sends back what comes, and ends when its peer does. */
function echo(socket: Socket, count: { took: number; gave: number }, first?: Buffer): void {
  const take = (chunk: Buffer): void => {
    count.took += chunk.length
    count.gave += chunk.length
    socket.write(chunk)
  }
  if (first !== undefined) take(first)
  socket.on('data', take)
  socket.on('end', () => socket.end())
}
