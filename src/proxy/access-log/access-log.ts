/**
 * The access log: one JSON line a call and a connection, written in the background. What was refused or failed, what went
 * well, and connections each have a part of which lines are written.
 */
import type { Config } from '../../config/schema.ts'
import type { Clock } from '../../core/clock.ts'
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import { BackgroundFile } from '../../runtime/background-file.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { AccessLogFigures, HandshakeFailure } from '../ipc.ts'
import { CredentialNames } from './credential-names.ts'
import { callText, connectionText, type LoggedTraffic } from './line.ts'

export interface LoggedCall extends LoggedTraffic {
  /** Why it was refused or failed; '' where it did neither. */
  readonly code: ErrorCode | ''
  /** Response flag of the code, Envoy's word where it has one; '-' where all went well. */
  readonly flag: string
  /** 0 where nobody has got one. */
  readonly status: number
  /** Of gRPC calls alone. */
  readonly grpcStatus: number | undefined
  /** '' where no deployment has seen it. */
  readonly operation: string
  readonly method: string
  /** Where it is one of a tenant; what else a client says there may be anything. */
  readonly host: string
  /** Without its query, which may hold secrets, and without credentials that stand in it. */
  readonly path: string
  readonly protocol: CallProtocol
  readonly requestId: string
  /** Of W3C Trace Context, or ''. */
  readonly trace: string
  /** Number of its connection in this worker. */
  readonly connection: string
  readonly upstream: string
  /** Up to when its deployment got it: checks, limits, queues and connecting. */
  readonly waitMs: number
  /** From there to the head of the answer. */
  readonly upstreamMs: number
}

export type CallProtocol = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2' | ''

export interface LoggedConnection extends LoggedTraffic {
  readonly code: ErrorCode | ''
  readonly flag: string
  /** Of a TLS handshake that failed. */
  readonly reason: HandshakeFailure | ''
  /** 'tunnel' for what is carried as it is; '' where it did not get so far. */
  readonly protocol: ConnectionProtocol
  readonly connection: string
  readonly calls: number
  /** Of a tunnel. */
  readonly upstream: string
}

export type ConnectionProtocol = 'HTTP/1' | 'HTTP/2' | 'tunnel' | ''

/** A connection that is closed before it has a forwarder. */
export interface RefusedConnection {
  readonly listener: string
  readonly peer: string
  readonly code: ErrorCode
  readonly reason?: HandshakeFailure | undefined
  readonly durationMs: number
}

export interface AccessLogOptions {
  readonly log: Config['log']
  readonly clock: Clock
  readonly logger: Logger
  /** 0 up to, and without, 1. */
  readonly random: () => number
  /** What is written to stdout, by others as well. */
  readonly output?: BackgroundFile | undefined
}

/** Of a worker without an access log. */
export const NO_LINES: AccessLogFigures = { lines: 0, dropped: 0, errors: 0, waitingBytes: 0 }

/** How often somebody is told of lines that were dropped. */
const TELL_MS = 60_000
/** What a disk may take for the last lines. */
const END_MS = 1_000

/** A part of lines that is written. */
class Sample {
  readonly part: number
  /** How such a line ends. */
  readonly end: string

  constructor(part: number) {
    this.part = part
    this.end = part < 1 ? `,"sample":${part}}\n` : '}\n'
  }
}

export class AccessLog {
  readonly credentials: CredentialNames
  readonly #file: BackgroundFile
  /** Others write to the file as well, and end it. */
  readonly #shared: boolean
  readonly #options: AccessLogOptions
  readonly #calls: Sample
  readonly #failed: Sample
  readonly #connections: Sample
  #lines = 0
  #dropped = 0
  #errors = 0
  #untold = 0
  #toldAt = Number.NEGATIVE_INFINITY
  /** The time as it stands in lines, and of when it is. */
  #time = ''
  #timeAt = Number.NaN

  constructor(options: AccessLogOptions) {
    const { log, logger, output } = options
    const { calls, failed, connections } = log.accessSampling
    this.#options = options
    this.#calls = new Sample(calls)
    this.#failed = new Sample(failed)
    this.#connections = new Sample(connections)
    this.credentials = new CredentialNames(log.accessTokenClaim)
    const shared = log.access === 'stdout' ? output : undefined
    this.#shared = shared !== undefined
    this.#file =
      shared ??
      new BackgroundFile({
        where: log.access,
        maxBytes: log.accessBuffer,
        failed: error =>
          logger.error({ err: error, file: log.access }, 'the access log cannot be written'),
      })
  }

  /** Whether the line of a call is written: else nobody need put it together. */
  wantsCall(code: ErrorCode | ''): boolean {
    return this.#wants(code === '' ? this.#calls : this.#failed)
  }

  wantsConnection(code: ErrorCode | ''): boolean {
    return this.#wants(code === '' ? this.#connections : this.#failed)
  }

  #wants({ part }: Sample): boolean {
    return part >= 1 || (part > 0 && this.#options.random() < part)
  }

  /** Of one that is wanted. */
  call(call: LoggedCall): void {
    this.#write(callText(call), call.code === '' ? this.#calls : this.#failed)
  }

  /** Of one that is wanted. */
  connection(connection: LoggedConnection): void {
    const sample = connection.code === '' ? this.#connections : this.#failed
    this.#write(connectionText(connection), sample)
  }

  /** It has carried nothing. */
  refused({ listener, peer, code, reason, durationMs }: RefusedConnection): void {
    if (!this.wantsConnection(code)) return
    this.connection({
      code,
      flag: ERRORS[code].flag,
      reason: reason ?? '',
      protocol: '',
      connection: '',
      tenant: '',
      listener,
      routability: 'unroutable',
      peer,
      credential: '',
      ingress: 0,
      egress: 0,
      durationMs,
      calls: 0,
      upstream: '',
    })
  }

  #write(text: string, { end }: Sample): void {
    const now = this.#options.clock.now()
    if (now !== this.#timeAt) {
      this.#timeAt = now
      this.#time = `{"time":"${new Date(now).toISOString()}",`
    }
    if (this.#file.write(`${this.#time}${text}${end}`)) this.#lines++
  }

  /** Writes what waits; called a few times a second, so that a quiet service shows its lines. */
  flush(): void {
    this.#file.flush()
  }

  /** Goes on in a new file of the same name. */
  reopen(): void {
    this.#file.reopen()
  }

  /** What happened since the last time. */
  take(): AccessLogFigures {
    const figures = {
      lines: this.#lines,
      dropped: this.#file.dropped - this.#dropped,
      errors: this.#file.errors - this.#errors,
      waitingBytes: this.#file.waitingBytes,
    }
    this.#lines = 0
    this.#dropped = this.#file.dropped
    this.#errors = this.#file.errors
    this.#tell(figures.dropped)
    return figures
  }

  #tell(dropped: number): void {
    this.#untold += dropped
    const now = this.#options.clock.monotonic()
    if (this.#untold === 0 || now - this.#toldAt < TELL_MS) return
    const { log, logger } = this.#options
    logger.warn(
      { lines: this.#untold, file: log.access },
      'access log lines were dropped: it is not written as fast as they come',
    )
    this.#untold = 0
    this.#toldAt = now
  }

  /** Writes the last lines, for as long as that does not take too long. */
  end(): Promise<void> {
    return this.#shared ? this.#file.settle(END_MS) : this.#file.end(END_MS)
  }

  /** The same for a process that ends at once; false where it would wait for a write that may never come to its end. */
  endNow(): boolean {
    this.#file.endNow()
    return !this.#file.writing
  }
}

/** Undefined where there is to be none. */
export function createAccessLog(options: AccessLogOptions): AccessLog | undefined {
  return options.log.access === 'off' ? undefined : new AccessLog(options)
}
