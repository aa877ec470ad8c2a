/**
 * A session of the codec under bytes in any pieces: all that it said, in a form that does not depend on how they were cut.
 * Each piece is spoilt once it was read, as the proxy's buffers are.
 */
import { ClientSession } from '../../../src/codec/http2/client-session.ts'
import { DATA, GOAWAY, WINDOW_UPDATE } from '../../../src/codec/http2/frame.ts'
import { HeaderField, INDEXED, PLAIN } from '../../../src/codec/http2/header-field.ts'
import { ServerSession } from '../../../src/codec/http2/server-session.ts'
import {
  DEFAULT_SESSION,
  type SessionEvents,
  type SessionOptions,
} from '../../../src/codec/http2/session-options.ts'
import type { Http2Stream } from '../../../src/codec/http2/stream.ts'
import { framesOf, type WireFrame } from '../http2/wire-frames.ts'

export interface Reading {
  /** What was heard, but for data. */
  readonly said: readonly string[]
  /** Data of each stream. */
  readonly bodies: ReadonlyMap<number, string>
  /** Octets of the frames of each stream that came to its end. */
  readonly received: ReadonlyMap<number, number>
  /** What was sent, but for windows: when they are given back depends on how data came. */
  readonly sent: readonly WireFrame[]
  /** Octets by which windows were opened, by stream; 0 is the session. */
  readonly windows: ReadonlyMap<number, number>
  /** The code with which the session ended; -1 where it did not. */
  readonly failure: number
  /** Octets of DATA that came, padding aside. */
  readonly octets: number
  /** Most that ever waited to be sent. */
  readonly mostWaiting: number
}

/** Windows that no case here can fill: whether one is given back in time depends on how data came. */
export const WIDE: SessionOptions = DEFAULT_SESSION
/** Windows that have to be given back often. No valid session here has more in a stream at a time. */
export const NARROW: SessionOptions = { ...DEFAULT_SESSION, streamWindow: 512 }

const field = (name: string, value: string, indexing: typeof INDEXED | typeof PLAIN = INDEXED) =>
  new HeaderField(name, value, indexing)
const OK = [field(':status', '200'), field('content-type', 'text/plain')]
const EARLY = [field(':status', '103'), field('link', '</a.css>', PLAIN)]
const ANSWER = Buffer.from('an answer\n')
const REQUEST = [
  field(':method', 'POST'),
  field(':scheme', 'https'),
  field(':authority', 'a.example'),
  field(':path', '/'),
]

type Stream = Http2Stream<undefined>
type Session = ServerSession<undefined> | ClientSession<undefined>

class Notes {
  readonly said: string[] = []
  readonly bodies = new Map<number, string>()
  readonly received = new Map<number, number>()
  failure = -1
  octets = 0

  events(session: () => Session): SessionEvents<undefined> {
    return {
      data: (stream, bytes, ...[start, end, endStream]) => {
        if (endStream) this.say('last data', stream.id)
        const before = this.bodies.get(stream.id) ?? ''
        this.bodies.set(stream.id, before + bytes.toString('latin1', start, end))
        this.octets += end - start
        session().consumed(stream, end - start)
      },
      trailers: (stream, fields) => this.say('trailers', stream.id, linesOf(fields)),
      ended: stream => {
        this.say('ended', stream.id, stream.received)
        this.received.set(stream.id, stream.received)
        if (!stream.localOpen) return
        session().send(stream, ANSWER, { start: 0, end: ANSWER.length })
        session().end(stream)
      },
      reset: (stream, code) => this.say('reset', stream.id, code),
      writable: stream => this.say('writable', stream.id),
      goingAway: (last, code) => this.say('going away', last, code),
      pong: octets => this.say('pong', octets.toString('latin1')),
      failed: (code, why) => {
        this.failure = code
        this.say('failed', code, why)
      },
    }
  }

  say(...what: unknown[]): void {
    this.said.push(JSON.stringify(what))
  }
}

function linesOf(fields: readonly HeaderField[]): string[] {
  return fields.map(({ name, value, indexing }) => `${name}: ${value} (${indexing})`)
}

/** A server that answers every request once it has come whole, those for a `/length` in two steps. */
export function readAsServer(pieces: readonly Buffer[], options = WIDE): Reading {
  const notes = new Notes()
  const session: ServerSession<undefined> = new ServerSession<undefined>(
    {
      ...notes.events(() => session),
      request: (stream: Stream, request) => {
        if (request === undefined) notes.say('too large', stream.id)
        else {
          const { error: _error, fields, ...rest } = request
          notes.say('request', stream.id, stream.urgency, rest, linesOf(fields))
        }
        if (request?.path === '/length')
          session.respond(stream, EARLY, { interim: true, endStream: false })
        session.respond(stream, OK, { endStream: false })
      },
      malformed: ({ error }) => notes.say('malformed', error),
    },
    0,
    options,
  )
  return readWith(session, notes, pieces)
}

/** A client that has sent so many requests, every other of them whole. */
export function readAsClient(pieces: readonly Buffer[], streams: number, options = WIDE): Reading {
  const notes = new Notes()
  const session: ClientSession<undefined> = new ClientSession<undefined>(
    {
      ...notes.events(() => session),
      response: (stream: Stream, { status, contentLength, fields }) =>
        notes.say('response', stream.id, status, contentLength, linesOf(fields)),
    },
    0,
    options,
  )
  for (let index = 0; index < streams; index++) session.request(undefined, REQUEST, index % 2 === 0)
  return readWith(session, notes, pieces)
}

function readWith(session: Session, notes: Notes, pieces: readonly Buffer[]): Reading {
  const output: Buffer[] = session.take()
  let mostWaiting = 0
  for (const piece of pieces) {
    const chunk = Buffer.from(piece)
    session.receive(chunk, 0)
    chunk.fill(0xee)
    mostWaiting = Math.max(mostWaiting, session.waiting)
    output.push(...session.take())
  }
  const { frames, end } = framesOf(withoutPreface(Buffer.concat(output)))
  if (end < 0) throw new Error('half a frame was sent')
  const { said, bodies, received, failure, octets } = notes
  const windows = new Map<number, number>()
  for (const { type, streamId, payload } of frames)
    if (type === WINDOW_UPDATE)
      windows.set(streamId, (windows.get(streamId) ?? 0) + payload.readUInt32BE(0))
  const sent = frames.filter(({ type }) => type !== WINDOW_UPDATE)
  return { said, bodies, received, sent, windows, failure, octets, mostWaiting }
}

function withoutPreface(bytes: Buffer): Buffer {
  return bytes.subarray(0, 4).toString('latin1') === 'PRI ' ? bytes.subarray(24) : bytes
}

/**
 * What tells two readings of the same bytes apart, or ''. Where a stream or the session ended at a fault, the last of its
 * data may have been handed on before that was seen, or not.
 */
export function difference(one: Reading, other: Reading): string {
  const differing = one.said.findIndex((line, index) => line !== other.said[index])
  if (differing >= 0) return `${one.said[differing]} and ${other.said[differing]}`
  if (one.said.length !== other.said.length) return `then ${other.said[one.said.length]}`
  if (wireText(one) !== wireText(other)) return `sent ${wireText(one)} and ${wireText(other)}`
  for (const id of new Set([...one.bodies.keys(), ...other.bodies.keys()])) {
    const [body, otherBody] = [one.bodies.get(id) ?? '', other.bodies.get(id) ?? '']
    const [shorter, longer] = body.length < otherBody.length ? [body, otherBody] : [otherBody, body]
    if (shorter !== longer && !(longer.startsWith(shorter) && endsAtFault(one, id)))
      return `data of ${id}: ${shorter.length} and ${longer.length} octets`
  }
  return ''
}

function endsAtFault({ said, failure }: Reading, streamId: number): boolean {
  return failure >= 0 || said.some(line => line.startsWith(`["reset",${streamId},`))
}

function wireText({ sent }: Reading): string {
  return sent
    .map(({ type, flags, streamId, payload }) => {
      const content = type === DATA ? payload.length : payload.toString('hex')
      return `${type === GOAWAY ? 'GOAWAY' : type}/${flags}/${streamId}/${content}`
    })
    .join(' ')
}
