/** Clients that keep so many calls of a tenant under way, whatever becomes of them. */
import { connect, type Socket } from 'node:net'
import { DATA, END_STREAM, SETTINGS } from '../../../src/codec/http2/frame.ts'
import { CLIENT_PREFACE } from '../../../src/codec/http2/frame-writer.ts'
import { AttackPeer } from '../http2/attack-peer.ts'
import { frame } from '../http2/frames.ts'
import { headers, requestPairs } from '../http2/raw-fields.ts'
import type { Version } from './quiet-tenant.ts'

export interface NoisyPlace {
  readonly port: number
  readonly host: string
  readonly version: Version
  /** Calls under way. */
  readonly calls: number
  /** Octets of the body of each call; it is a GET without. */
  readonly body: number | undefined
  /** Answers are not read: the begin of one fills what there is of buffers, and stays there. */
  readonly unread: boolean
}

/** Streams of a connection of HTTP/2. */
const STREAMS = 25
/** A connection that fails is made anew, and not more often than this allows. */
const PAUSE_MS = 20
const PIECE = Buffer.alloc(16_000, 'x')

export class NoisyCallers {
  /** Calls that were answered in whatever way, or cut. */
  over = 0
  readonly #place: NoisyPlace
  readonly #sockets = new Set<Socket>()
  #ending = false

  constructor(place: NoisyPlace) {
    this.#place = place
    const connections = place.version === 1 ? place.calls : Math.ceil(place.calls / STREAMS)
    for (let made = 0; made < connections; made += 1) this.#begin()
  }

  /** Vanishes with all that is under way. */
  end(): void {
    this.#ending = true
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  #begin(): void {
    if (this.#ending) return
    const { port, version, unread } = this.#place
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#sockets.delete(socket)
      setTimeout(() => this.#begin(), PAUSE_MS)
    })
    if (version === 1) this.#call(socket)
    else this.#callHttp2(socket)
    if (unread) socket.pause()
  }

  /** One call a connection. */
  #call(socket: Socket): void {
    const { host, body } = this.#place
    const line = body === undefined ? 'GET / HTTP/1.1' : 'POST / HTTP/1.1'
    const length = body === undefined ? '' : `content-length: ${body}\r\n`
    socket.write(`${line}\r\nhost: ${host}\r\n${length}connection: close\r\n\r\n`)
    if (body !== undefined) sendBody(socket, body)
    socket.on('data', () => {})
    socket.on('close', () => {
      this.over += 1
    })
  }

  #callHttp2(socket: Socket): void {
    const { host, body } = this.#place
    const peer = new AttackPeer(socket, { grants: true })
    peer.send(CLIENT_PREFACE, frame(SETTINGS, 0))
    let next = 1
    const call = (): void => {
      const id = next
      next += 2
      const method = body === undefined ? 'GET' : 'POST'
      peer.send(headers(id, requestPairs(host, { method }), { endStream: body === undefined }))
      // What the window of a connection has for each of its streams: the other end may never give it back.
      if (body !== undefined) peer.send(frame(DATA, id, PIECE.subarray(0, 2_000), END_STREAM))
    }
    const seen = new Set<number>()
    socket.on('data', () => {
      for (const [id, { ended, reset }] of peer.streams) {
        if ((!ended && reset === undefined) || seen.has(id)) continue
        seen.add(id)
        peer.streams.delete(id)
        this.over += 1
        if (!peer.over) call()
      }
      if (peer.goaway !== undefined && peer.goaway !== 0) socket.destroy()
    })
    socket.on('end', () => socket.destroy())
    for (let stream = 0; stream < STREAMS; stream += 1) call()
  }
}

/** As fast as the other end reads. */
function sendBody(socket: Socket, octets: number): void {
  let sent = 0
  const fill = (): void => {
    while (sent < octets && !socket.writableNeedDrain && !socket.destroyed) {
      const piece = PIECE.subarray(0, Math.min(PIECE.length, octets - sent))
      sent += piece.length
      socket.write(piece)
    }
  }
  socket.on('drain', fill)
  fill()
}
