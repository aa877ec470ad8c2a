/** A client and a server session that speak to each other in memory, their bytes cut as the test likes. */
import { type ClientEvents, ClientSession } from '../../../src/codec/http2/client-session.ts'
import type { HeaderField } from '../../../src/codec/http2/header-field.ts'
import { type ServerEvents, ServerSession } from '../../../src/codec/http2/server-session.ts'
import { DEFAULT_SESSION, type SessionOptions } from '../../../src/codec/http2/session-options.ts'
import type { Http2Stream } from '../../../src/codec/http2/stream.ts'
import type { SeededRandom } from '../seeded-random.ts'

/** What one side of a stream has heard. */
export class Heard {
  body = ''
  path = ''
  status = 0
  trailers: string[] = []
  ended = false
  reset: number | undefined
  /** What it still has to say. */
  outgoing: Buffer = Buffer.alloc(0)
  outgoingTrailers: readonly HeaderField[] | undefined
  /** Octets that came and were not given back. */
  held = 0
  /** Each event with what the stream had received and sent by then, as `what received sent`, and ` end` with the last. */
  readonly log: string[] = []
}

export class SessionPair {
  readonly requests: Http2Stream<Heard>[] = []
  readonly failures: string[] = []
  readonly goneAway: string[] = []
  readonly client: ClientSession<Heard>
  readonly server: ServerSession<Heard>
  onRequest: (stream: Http2Stream<Heard>) => void = () => {}
  /** Whoever looks at the wire. */
  onBytes: (from: 'client' | 'server', bytes: Buffer) => void = () => {}
  now = 0

  constructor(options: Partial<SessionOptions> = {}) {
    const all = { ...DEFAULT_SESSION, ...options }
    this.client = new ClientSession<Heard>(this.#clientEvents(), 0, all)
    this.server = new ServerSession<Heard>(this.#serverEvents(), 0, all)
  }

  /** Bytes go back and forth until neither has any. */
  settle(random?: SeededRandom): void {
    for (let quiet = false; !quiet; ) {
      const toServer = Buffer.concat(this.client.take())
      const toClient = Buffer.concat(this.server.take())
      this.onBytes('client', toServer)
      this.onBytes('server', toClient)
      quiet = toServer.length + toClient.length === 0
      for (const chunk of cut(toServer, random)) this.server.receive(chunk, this.now)
      for (const chunk of cut(toClient, random)) this.client.receive(chunk, this.now)
    }
  }

  /** Says as much as the windows allow, and ends where that was all. */
  pump(session: ClientSession<Heard> | ServerSession<Heard>, stream: Http2Stream<Heard>): void {
    const heard = stream.owner as Heard
    const { length } = heard.outgoing
    const taken = session.send(stream, heard.outgoing, { start: 0, end: length })
    heard.outgoing = heard.outgoing.subarray(taken)
    if (taken < length) return
    if (heard.outgoingTrailers === undefined) session.end(stream)
    else session.sendTrailers(stream, heard.outgoingTrailers)
  }

  #events(
    session: () => ClientSession<Heard> | ServerSession<Heard>,
  ): ServerEvents<Heard> & ClientEvents<Heard> {
    const of = (stream: Http2Stream<Heard>): Heard => stream.owner as Heard
    return {
      request: (stream, request, endStream) => {
        const heard = new Heard()
        heard.path = request?.path ?? 'too large'
        stream.owner = heard
        note(stream, 'request', endStream)
        this.requests.push(stream)
        this.onRequest(stream)
      },
      malformed: ({ error }) => void this.failures.push(`malformed: ${error}`),
      response: (stream, { status }, endStream) => {
        of(stream).status = status
        note(stream, 'response', endStream)
      },
      data: (...[stream, bytes, start, end, endStream]) => {
        note(stream, 'data', endStream)
        of(stream).body += bytes.toString('latin1', start, end)
        of(stream).held += end - start
      },
      trailers: (stream, fields) => {
        note(stream, 'trailers', false)
        of(stream).trailers = fields.map(({ name, value }) => `${name}: ${value}`)
      },
      ended: stream => {
        note(stream, 'ended', false)
        of(stream).ended = true
      },
      reset: (stream, code) => {
        note(stream, 'reset', false)
        of(stream).reset = code
      },
      writable: stream => this.pump(session(), stream),
      goingAway: (lastStreamId, code) => void this.goneAway.push(`${lastStreamId} ${code}`),
      pong: octets => void this.goneAway.push(`pong ${octets.toString('latin1')}`),
      failed: (code, why) => void this.failures.push(`${code}: ${why}`),
    }
  }

  #clientEvents(): ClientEvents<Heard> {
    return this.#events(() => this.client)
  }

  #serverEvents(): ServerEvents<Heard> {
    return this.#events(() => this.server)
  }
}

function note(stream: Http2Stream<Heard>, what: string, endStream: boolean): void {
  const { received, sent, owner } = stream
  owner?.log.push(`${what} ${received} ${sent}${endStream ? ' end' : ''}`)
}

function cut(bytes: Buffer, random: SeededRandom | undefined): Buffer[] {
  if (random === undefined || bytes.length === 0) return [bytes]
  const chunks: Buffer[] = []
  for (let start = 0; start < bytes.length; ) {
    const end = start + 1 + random.below(random.below(4) === 0 ? 20 : 40_000)
    chunks.push(Buffer.from(bytes.subarray(start, end)))
    start = end
  }
  return chunks
}
