/** Deployments that do everything to their callers but serve them, in both versions of HTTP. */
import type { Socket } from 'node:net'
import { CONTINUATION, DATA, END_STREAM, HEADERS } from '../../../src/codec/http2/frame.ts'
import type { AttackPeer } from '../http2/attack-peer.ts'
import { frame } from '../http2/frames.ts'
import { block, headers, literal } from '../http2/raw-fields.ts'

export interface BadDeployment {
  /** What it does with a connection of HTTP/1.1; it hears of each request by `asked`. */
  readonly http1: (connection: Http1Connection) => void
  /** With one of HTTP/2, whose streams have begun with `peer.streamEnded` or, for a call with a body, `streamBegan`. */
  readonly http2: (peer: AttackPeer) => void
}

/** One connection of HTTP/1.1 in its hands. */
export class Http1Connection {
  readonly socket: Socket
  /** Told of each piece of a request. */
  asked: () => void = () => {}

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', () => this.asked())
  }

  send(text: string): void {
    if (!this.socket.destroyed) this.socket.write(text, 'latin1')
  }

  /** Does it with the first piece of the first request. */
  onRequest(act: () => void): void {
    let done = false
    this.asked = () => {
      if (done) return
      done = true
      act()
    }
  }
}

/** Of all floods together, as fast as a program with other things to do writes them. */
const BATCH_OCTETS = 64 * 1024
const SLOW_MS = 50

/** Writes `piece` again and again, as fast as the other end reads, until it closes. */
function flood(socket: Socket, piece: Buffer): void {
  const batch = Buffer.concat(
    Array.from({ length: Math.ceil(BATCH_OCTETS / piece.length) }, () => piece),
  )
  const fill = (): void => {
    if (!socket.destroyed && socket.write(batch)) setImmediate(fill)
  }
  socket.on('drain', fill)
  fill()
}

function slowly(socket: Socket, act: () => void): void {
  const timer = setInterval(act, SLOW_MS)
  socket.on('close', () => clearInterval(timer))
}

const OK = block([[':status', '200']])
const answer = (id: number): Buffer => headers(id, OK, { endStream: false })

/** Does it with the first stream of a connection. */
const onFirst =
  (act: (peer: AttackPeer, id: number) => void) =>
  (peer: AttackPeer): void => {
    let done = false
    peer.streamBegan = id => {
      if (done) return
      done = true
      act(peer, id)
    }
  }

const http1Flood =
  (begin: string, piece: string) =>
  (connection: Http1Connection): void =>
    connection.onRequest(() => {
      connection.send(begin)
      flood(connection.socket, Buffer.from(piece, 'latin1'))
    })

const http2Flood = (
  begin: (id: number) => Buffer,
  piece: (id: number) => Buffer,
): ((peer: AttackPeer) => void) =>
  onFirst((peer, id) => {
    peer.send(begin(id))
    flood(peer.socket, piece(id))
  })

const CHUNK = `2000\r\n${'x'.repeat(0x2000)}\r\n`
const FIELD = `x-field: ${'x'.repeat(200)}\r\n`

export const BAD_DEPLOYMENTS: Readonly<Record<string, BadDeployment>> = {
  'takes requests and hangs': { http1: () => {}, http2: () => {} },
  'answers, a byte at a time': {
    http1: connection =>
      connection.onRequest(() => {
        connection.send('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n')
        slowly(connection.socket, () => connection.send('x'))
      }),
    http2: peer => {
      peer.streamBegan = id => {
        peer.send(answer(id))
        slowly(peer.socket, () => peer.send(frame(DATA, id, 'x')))
      }
    },
  },
  'answers heads, a byte at a time': {
    http1: connection =>
      connection.onRequest(() => {
        connection.send('HTTP/1.1 200 OK\r\nx: ')
        slowly(connection.socket, () => connection.send('x'))
      }),
    // The begin of a section, and its first octets one by one.
    http2: onFirst((peer, id) => {
      const head = frame(HEADERS, id, Buffer.concat([OK, literal('x', 'x'.repeat(10_000))]))
      let at = 0
      slowly(peer.socket, () => {
        peer.send(head.subarray(at, at + 1))
        at += 1
      })
    }),
  },
  'resets each connection with its first request': {
    http1: connection => connection.onRequest(() => connection.socket.resetAndDestroy()),
    http2: onFirst(peer => peer.socket.resetAndDestroy()),
  },
  'resets in the middle of its answers': {
    http1: connection =>
      connection.onRequest(() => {
        connection.send('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nx')
        setTimeout(() => connection.socket.resetAndDestroy(), SLOW_MS)
      }),
    http2: onFirst((peer, id) => {
      peer.send(answer(id), frame(DATA, id, 'x'))
      setTimeout(() => peer.socket.resetAndDestroy(), SLOW_MS)
    }),
  },
  'answers far more than was asked for': {
    http1: http1Flood(
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
    ),
    http2: http2Flood(
      id =>
        Buffer.concat([
          headers(
            id,
            block([
              [':status', '200'],
              ['content-length', '2'],
            ]),
            { endStream: false },
          ),
        ]),
      id => frame(DATA, id, 'x'.repeat(1_000)),
    ),
  },
  'answers bodies without an end': {
    http1: http1Flood('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n', CHUNK),
    http2: http2Flood(answer, id => frame(DATA, id, 'x'.repeat(8_000))),
  },
  'answers bodies in the smallest pieces': {
    http1: http1Flood('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n', '1\r\nx\r\n'),
    http2: http2Flood(answer, id => frame(DATA, id, 'x')),
  },
  'answers heads without an end': {
    http1: http1Flood('HTTP/1.1 200 OK\r\n', FIELD),
    http2: http2Flood(
      id => headers(id, OK, { endStream: false, endHeaders: false }),
      id => frame(CONTINUATION, id, literal('x-field', 'x'.repeat(200))),
    ),
  },
  'answers interim answers (1xx) without an end': {
    http1: http1Flood('', 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'),
    http2: http2Flood(
      () => Buffer.alloc(0),
      id => headers(id, block([[':status', '103']]), { endStream: false }),
    ),
  },
  'answers before the request is there, and does not read the rest': {
    http1: connection =>
      connection.onRequest(() => {
        connection.send('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
        connection.socket.pause()
      }),
    http2: peer => {
      peer.streamBegan = id => peer.send(answer(id), frame(DATA, id, 'ok', END_STREAM))
    },
  },
  'answers before anybody has asked': {
    http1: ({ socket }) =>
      flood(socket, Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')),
    http2: peer => flood(peer.socket, headers(1, OK)),
  },
}
