/** Peers on both sides of the proxy that send and record exact bytes. Nothing here reads more HTTP than it must. */
import { once } from 'node:events'
import net from 'node:net'
import { readStrictRequest, type StrictRequest } from './strict-http1.ts'

export interface RawExchangeOptions {
  readonly port: number
  readonly host?: string
  /** Each is handed to the kernel before the next is written. */
  readonly segments: readonly Buffer[]
  /** Asked after every arrival; true ends the exchange. */
  readonly until?: (received: Buffer) => boolean
  /** Ends the exchange when all is sent and nothing has arrived for so long. */
  readonly quietMs?: number
  /** Whether more must still come: then it is not quiet yet. */
  readonly awaits?: (received: Buffer) => boolean
  /** The exchange ends then in any case. */
  readonly deadlineMs?: number
}

export interface RawExchange {
  /** Until now: while the connection is open, more may come after the exchange has ended. */
  received(): Buffer
  readonly ended: 'closed' | 'until' | 'quiet' | 'deadline'
  /** Whether the connection is gone by now. */
  readonly closed: boolean
  /** Sends more on the same connection. */
  send(bytes: Buffer): void
  /** Resolves as soon as `holds` for all that was received, or the connection is gone; false where `ms` pass before. */
  waitFor(holds: (received: Buffer) => boolean, ms: number): Promise<boolean>
  /** The connection outlives the exchange unless the peer closed it: whoever asked for the exchange closes it. */
  close(): void
}

/** Sends `segments` on a new connection and gathers what comes back. Rejects only if it cannot connect. */
export async function rawExchange(options: RawExchangeOptions): Promise<RawExchange> {
  const { port, host = '127.0.0.1', segments, until, deadlineMs = 2_000 } = options
  const { quietMs, awaits = () => false } = options
  const socket = net.connect({ port, host, noDelay: true })
  await once(socket, 'connect')
  const chunks: Buffer[] = []
  const ended = new Promise<RawExchange['ended']>(resolve => {
    let quiet: NodeJS.Timeout | undefined
    const restart = (): void => {
      clearTimeout(quiet)
      if (quietMs !== undefined) quiet = setTimeout(settle, quietMs)
    }
    const settle = (): void => {
      if (awaits(Buffer.concat(chunks))) restart()
      else resolve('quiet')
    }
    const deadline = setTimeout(resolve, deadlineMs, 'deadline')
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      if (until?.(Buffer.concat(chunks))) resolve('until')
      else if (quiet !== undefined) restart()
    })
    // A reset is a close as well; what came before it counts.
    socket.on('error', () => resolve('closed'))
    socket.on('close', () => {
      clearTimeout(quiet)
      clearTimeout(deadline)
      resolve('closed')
    })
    void sendAll(socket, segments).then(restart)
  })
  const how = await ended
  const received = (): Buffer => Buffer.concat(chunks)
  return {
    received,
    ended: how,
    get closed() {
      return socket.closed
    },
    send: bytes => {
      socket.write(bytes)
    },
    waitFor: (holds, ms) => eventually(socket, () => socket.closed || holds(received()), ms),
    close: () => {
      socket.destroy()
    },
  }
}

/** Asks `holds` now and whenever `socket` has something new; false where it did not hold for `ms`. */
function eventually(socket: net.Socket, holds: () => boolean, ms: number): Promise<boolean> {
  return new Promise(resolve => {
    const leave = (held: boolean): void => {
      clearTimeout(timer)
      socket.off('data', look)
      socket.off('close', look)
      resolve(held)
    }
    const look = (): void => {
      if (holds()) leave(true)
    }
    const timer = setTimeout(leave, ms, false)
    socket.on('data', look)
    socket.on('close', look)
    look()
  })
}

async function sendAll(socket: net.Socket, segments: readonly Buffer[]): Promise<void> {
  for (const segment of segments) {
    if (socket.destroyed) return
    await new Promise<void>(resolve => socket.write(segment, () => resolve()))
  }
}

export interface RecordedRequest extends StrictRequest {
  /** As it arrived. */
  readonly bytes: Buffer
  /** 1 for the first request to this deployment; its answer carries it in `x-serial`. */
  readonly serial: number
  readonly connection: RecordedConnection
}

export interface RecordedConnection {
  /** All that arrived, but for what was forgotten. */
  readonly received: Buffer
  /** How much of it is not a whole request yet. */
  readonly unread: number
  readonly open: boolean
}

export interface RecordingDeployment {
  readonly port: number
  readonly connections: readonly RecordedConnection[]
  /** Complete requests, in the order of their completion. */
  readonly requests: readonly RecordedRequest[]
  /** What was answered, in order; also requests that were answered before they were complete, or never were. */
  readonly answered: readonly AnsweredRequest[]
  /** What no strict reader of RFC 9112 would take; the connection was cut there. */
  readonly violations: readonly string[]
  /** Drops what was recorded, all but what is not a whole request yet; for runs without an end. */
  forget(): void
  close(): Promise<void>
}

interface AnsweredRequest {
  readonly method: string
  readonly serial: number
}

/** What a deployment does with a complete request; the connection stays open unless this ends it. */
type Serve = (request: RecordedRequest, socket: net.Socket) => void

/**
 * A deployment that keeps every byte, and answers each complete request, with `answerTo` unless `serve` says otherwise.
 * `hasty` is asked about each request whose head is there and whose body is not: true answers it at once.
 */
export async function recordingDeployment(
  serve: Serve = (request, socket) => socket.write(answerTo(request)),
  hasty: () => boolean = () => false,
): Promise<RecordingDeployment> {
  let last = 0
  const sockets = new Set<net.Socket>()
  const connections: Recorder[] = []
  const requests: RecordedRequest[] = []
  const answered: AnsweredRequest[] = []
  const violations: string[] = []
  const server = net.createServer({ noDelay: true, allowHalfOpen: true }, socket => {
    const recorder = new Recorder()
    connections.push(recorder)
    sockets.add(socket)
    socket.on('data', (chunk: Buffer) => {
      for (const event of recorder.take(chunk)) {
        if (typeof event === 'string') {
          violations.push(event)
          socket.destroy()
          return
        }
        const early = recorder.answered
        const serial = early === 0 ? ++last : early
        const recorded = { ...event, serial, connection: recorder }
        recorder.answered = 0
        requests.push(recorded)
        if (early !== 0) continue
        answered.push({ method: event.method, serial })
        serve(recorded, socket)
      }
      const method = recorder.answered === 0 ? recorder.beginning : undefined
      if (method === undefined || !hasty()) return
      recorder.answered = ++last
      answered.push({ method, serial: last })
      socket.write(answerTo({ method, serial: last }))
    })
    socket.on('end', () => socket.end())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      recorder.open = false
      sockets.delete(socket)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as net.AddressInfo).port,
    connections,
    requests,
    answered,
    violations,
    forget: () => {
      requests.length = 0
      answered.length = 0
      violations.length = 0
      for (const recorder of connections) recorder.forget()
      connections.splice(0, connections.length, ...connections.filter(({ open }) => open))
    },
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

class Recorder implements RecordedConnection {
  open = true
  /** Serial of the request that is being received, where it was answered before its end; else 0. */
  answered = 0
  #chunks: Buffer[] = []
  #unread: Buffer = Buffer.alloc(0)

  get unread(): number {
    return this.#unread.length
  }

  /** Method of the request whose head is complete, and whose body is not. */
  get beginning(): string | undefined {
    if (!this.#unread.includes('\r\n\r\n')) return undefined
    return this.#unread.toString('latin1', 0, this.#unread.indexOf(' '))
  }

  forget(): void {
    this.#chunks = this.#unread.length === 0 ? [] : [this.#unread]
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  /** The requests that `chunk` completes, or the rule that it breaks. */
  *take(
    chunk: Buffer,
  ): Generator<(StrictRequest & { readonly bytes: Buffer }) | string, void, undefined> {
    this.#chunks.push(chunk)
    this.#unread = Buffer.concat([this.#unread, chunk])
    while (this.#unread.length > 0) {
      const result = readStrictRequest(this.#unread)
      if (result.kind === 'incomplete') return
      if (result.kind === 'violation') {
        yield result.rule
        return
      }
      const bytes = this.#unread.subarray(0, result.length)
      this.#unread = this.#unread.subarray(result.length)
      yield { ...result.message, bytes }
    }
  }
}

/** 200, with a body that no other request gets. */
export function answerTo({ method, serial }: AnsweredRequest): string {
  const body = `answer ${serial}\n`
  const head = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-serial: ${serial}\r\ncontent-length: ${body.length}\r\n\r\n`
  return method === 'HEAD' ? head : head + body
}
