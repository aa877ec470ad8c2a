/**
 * Answers calls over HTTP/2 in cleartext as the other deployments do, and those of gRPC with messages and trailers. On the
 * codec of this repository and raw sockets, so that it leaves the CPU that it shares with the load to the load.
 */
import { createServer, type Socket } from 'node:net'
import { HeaderField, INDEXED } from '../../src/codec/http2/header-field.ts'
import type { RequestSection } from '../../src/codec/http2/request-section.ts'
import { type ServerEvents, ServerSession } from '../../src/codec/http2/server-session.ts'
import { DEFAULT_SESSION, type SessionOptions } from '../../src/codec/http2/session-options.ts'
import type { Http2Stream } from '../../src/codec/http2/stream.ts'
import { grpcMessage, STREAMING_PATH, UNARY_PATH, UNARY_REQUEST } from '../harness/http2-call.ts'
import { answerTo } from './deployment.ts'

const OPTIONS: SessionOptions = {
  ...DEFAULT_SESSION,
  streams: 1_000,
  streamWindow: 1024 * 1024,
  sessionWindow: 16 * 1024 * 1024,
}

/** As nghttp2 would encode them: all that comes again and again is in the table. */
const field = (name: string, value: string): HeaderField => new HeaderField(name, value, INDEXED)
const STATUS = field(':status', '200')
const ANSWER_HEAD = [STATUS, field('content-type', 'application/json')]
const GRPC_HEAD = [STATUS, field('content-type', 'application/grpc')]
const GRPC_OK = [field('grpc-status', '0')]
const GRPC_BROKEN = [field('grpc-status', '15'), field('grpc-message', 'the request is broken')]
const MAX_KEPT_ANSWERS = 1_000

type Kind = 'answer' | 'unary' | 'streaming'

interface Call {
  readonly kind: Kind
  readonly answer: Buffer
  /** What of it was not taken yet; of a stream, what is to be echoed. */
  waiting: Buffer
  received: number
  broken: boolean
  ended: boolean
}

type Stream = Http2Stream<Call>

const answers = new Map<string, { readonly plain: Buffer; readonly grpc: Buffer }>()

function answerFor(tenant: string, credential: string): { plain: Buffer; grpc: Buffer } {
  const key = `${tenant} ${credential}`
  const kept = answers.get(key)
  if (kept) return kept
  const plain = Buffer.from(answerTo(tenant, credential))
  const made = { plain, grpc: grpcMessage(plain) }
  if (answers.size < MAX_KEPT_ANSWERS) answers.set(key, made)
  return made
}

class DeploymentConnection implements ServerEvents<Call> {
  readonly #socket: Socket
  readonly #session: ServerSession<Call>

  constructor(socket: Socket) {
    this.#socket = socket
    this.#session = new ServerSession<Call>(this, performance.now(), OPTIONS)
    socket.on('error', () => socket.destroy())
    socket.on('data', (piece: Buffer) => {
      this.#session.receive(piece, performance.now())
      this.#flush()
    })
    this.#flush()
  }

  #flush(): void {
    for (const piece of this.#session.take()) this.#socket.write(piece)
    if (this.#session.over) this.#socket.end()
  }

  request(stream: Stream, request: RequestSection | undefined): void {
    if (request === undefined) {
      this.#session.respond(stream, [field(':status', '431')], { endStream: true })
      return
    }
    const { tenant, credential } = whoIn(request.fields)
    const { plain, grpc } = answerFor(tenant, credential)
    const kind = kindOf(request.path)
    const answer = kind === 'unary' ? grpc : plain
    const waiting = kind === 'streaming' ? EMPTY : answer
    stream.owner = { kind, answer, waiting, received: 0, broken: false, ended: false }
    // A stream must say at once whose it is.
    if (kind === 'streaming') {
      const head = [...GRPC_HEAD, field('x-tenant', tenant + credential)]
      this.#session.respond(stream, head, { endStream: false })
    }
  }

  data(stream: Stream, bytes: Buffer, start: number, end: number): void {
    const { owner } = stream
    if (owner === undefined) return
    if (owner.kind === 'streaming') this.#echo(stream, owner, bytes.subarray(start, end))
    else owner.broken ||= !isWhole(owner, bytes, start, end)
    owner.received += end - start
    this.#session.consumed(stream, end - start)
  }

  ended(stream: Stream): void {
    const { owner } = stream
    if (owner === undefined) return
    owner.ended = true
    if (owner.kind !== 'streaming') {
      const head = owner.kind === 'unary' ? GRPC_HEAD : ANSWER_HEAD
      this.#session.respond(stream, head, { endStream: false })
    }
    this.writable(stream)
  }

  writable(stream: Stream): void {
    const { owner } = stream
    if (owner === undefined) return
    const { waiting, kind } = owner
    const piece = { start: 0, end: waiting.length, endStream: kind === 'answer' }
    const taken = this.#session.send(stream, waiting, piece)
    owner.waiting = taken === waiting.length ? EMPTY : waiting.subarray(taken)
    if (owner.ended && owner.waiting.length === 0) this.#finish(stream, owner)
  }

  #echo(stream: Stream, call: Call, bytes: Buffer): void {
    const before = call.waiting
    const taken =
      before.length > 0 ? 0 : this.#session.send(stream, bytes, { start: 0, end: bytes.length })
    // What comes is the caller's again after this.
    if (taken < bytes.length) call.waiting = Buffer.concat([before, bytes.subarray(taken)])
  }

  #finish(stream: Stream, { kind, broken, received }: Call): void {
    if (kind === 'answer') return
    const whole = kind === 'streaming' || (received === UNARY_REQUEST.length && !broken)
    this.#session.sendTrailers(stream, whole ? GRPC_OK : GRPC_BROKEN)
  }

  malformed(): void {}
  trailers(): void {}
  reset(): void {}
  goingAway(): void {}
  pong(): void {}
  failed(): void {}
}

const EMPTY = Buffer.alloc(0)

function kindOf(path: string): Kind {
  if (path === UNARY_PATH) return 'unary'
  return path === STREAMING_PATH ? 'streaming' : 'answer'
}

/** Whether these are the octets that belong there in the request of the unary method. */
function isWhole({ received }: Call, bytes: Buffer, start: number, end: number): boolean {
  const to = received + end - start
  return to <= UNARY_REQUEST.length && bytes.compare(UNARY_REQUEST, received, to, start, end) === 0
}

function whoIn(fields: readonly HeaderField[]): { tenant: string; credential: string } {
  let tenant = ''
  let credential = ''
  for (const { name, value } of fields) {
    if (name === 'x-amt-tenant') tenant = value
    else if (name === 'x-api-key' || name === 'authorization') credential += value
  }
  return { tenant, credential }
}

createServer({ noDelay: true }, socket => new DeploymentConnection(socket)).listen(
  Number(process.argv[2]),
  '127.0.0.1',
  4_096,
)
