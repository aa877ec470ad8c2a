/** The codec as a server, in cleartext: it answers a request with what it was sent, as fast as it is read. */
import { createServer, type Server, type Socket } from 'node:net'
import { HeaderField, INDEXED, PLAIN } from '../../../src/codec/http2/header-field.ts'
import { type ServerEvents, ServerSession } from '../../../src/codec/http2/server-session.ts'
import { DEFAULT_SESSION, type SessionOptions } from '../../../src/codec/http2/session-options.ts'
import type { Http2Stream } from '../../../src/codec/http2/stream.ts'

interface Echo {
  /** What came and was not taken by a window yet. */
  readonly waiting: Buffer[]
  ended: boolean
  trailers: readonly HeaderField[] | undefined
}

type Stream = Http2Stream<Echo>

const GREETING = Buffer.from('hello\n')

/** Answers GET with a greeting, all else with its own body and trailers. */
export function createEchoServer(options: SessionOptions = DEFAULT_SESSION): Server {
  return createServer({ noDelay: true }, socket => serve(socket, options))
}

function serve(socket: Socket, options: SessionOptions): void {
  const events: ServerEvents<Echo> = {
    request: (stream, request) => {
      stream.owner = { waiting: [], ended: false, trailers: undefined }
      const status = new HeaderField(':status', request === undefined ? '431' : '200', INDEXED)
      const path = request === undefined ? [] : [new HeaderField('x-path', request.path, PLAIN)]
      session.respond(stream, [status, ...path], { endStream: false })
      if (request?.method === 'GET' || request === undefined) stream.owner.waiting.push(GREETING)
    },
    malformed: () => {},
    data: (stream, bytes, start, end) => {
      stream.owner?.waiting.push(Buffer.from(bytes.subarray(start, end)))
      pump(stream)
    },
    trailers: (stream, fields) => {
      if (stream.owner !== undefined) stream.owner.trailers = [...fields]
    },
    ended: stream => {
      if (stream.owner !== undefined) stream.owner.ended = true
      pump(stream)
    },
    reset: () => {},
    writable: stream => pump(stream),
    goingAway: () => {},
    pong: () => {},
    failed: () => {},
  }
  const session = new ServerSession<Echo>(events, performance.now(), options)

  function pump(stream: Stream): void {
    const { owner } = stream
    if (owner === undefined) return
    for (let first = owner.waiting[0]; first !== undefined; first = owner.waiting[0]) {
      const taken = session.send(stream, first, { start: 0, end: first.length })
      if (first !== GREETING) session.consumed(stream, taken)
      if (taken < first.length) {
        owner.waiting[0] = first.subarray(taken)
        return
      }
      owner.waiting.shift()
    }
    if (!owner.ended) return
    if (owner.trailers === undefined) session.end(stream)
    else session.sendTrailers(stream, owner.trailers)
  }

  const flush = (): void => {
    for (const piece of session.take()) socket.write(piece)
    if (session.over) socket.end()
  }
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    session.receive(chunk, performance.now())
    flush()
  })
  flush()
}
