/**
 * What stands before a TLS handshake, read without taking part in it: PostgreSQL's request for TLS, and the name in a
 * ClientHello, which may be that of a tenant that ends TLS itself. Such a name is never ended here.
 */
import type { Socket } from 'node:net'
import { ClientHelloReader, type HelloResult } from '../../codec/client-hello.ts'
import { Gathered } from '../../codec/gathered.ts'
import { POSTGRES_REQUEST_BYTES, readPostgresRequest } from '../../codec/postgres-request.ts'
import type { PostgresPreamble } from '../forward/postgres-greeting.ts'
import { normalizeServerName } from '../tenant/host-name.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { Drainable } from './arrival.ts'
import { FirstRead, type FirstReader } from './first-read.ts'

const TLS_HANDSHAKE = 0x16
/** The high byte of a length: no request of PostgreSQL is longer than 16 MiB. */
const POSTGRES_BEGIN = 0
/** Of a ClientHello of SSL 2.0, which OpenSSL would still take. */
const SSLV2_LENGTH = 0x80

/** TLS alerts, fatal (RFC 8446 §6.2, RFC 6066 §3). */
const DECODE_ERROR = Buffer.from('15030300020232', 'hex')
const UNRECOGNIZED_NAME = Buffer.from('15030300020270', 'hex')

export type Opening =
  /** A handshake is to begin, or to fail; what was read has been put back. The name is `''` where there is none, or it was not read. */
  | { readonly kind: 'handshake'; readonly serverName: string }
  /** No TLS, where none is ended; what was read has been put back. */
  | { readonly kind: 'plain' }
  /** To a tenant that ends TLS itself. */
  | {
      readonly kind: 'passthrough'
      /** In the form in which names are compared. */
      readonly serverName: string
      /** All that came so far, from the ClientHello on. */
      readonly first: Buffer
      /** Where PostgreSQL's request for TLS came before, and was granted. */
      readonly preamble: PostgresPreamble | undefined
    }
  /** `alert` is what the client may be told. */
  | { readonly kind: 'refused'; readonly why: OpeningFault; readonly alert: Buffer | undefined }

export type OpeningFault =
  /** A ClientHello that breaks the rules, or one of SSL 2.0. */
  | 'client_hello'
  /** Plain bytes where TLS has to begin. */
  | 'not_tls'
  | 'timeout'
  | 'client_closed'
  /** It asks for nobody who could be found by the name alone. */
  | 'unroutable'

export interface OpeningOptions {
  /**
   * Whether TLS is ended on this listener. Then the caller sees to the time that may pass, and a ClientHello is read to its
   * end: half of one would begin a handshake whose work comes at a moment that the client chooses.
   */
  readonly ends: boolean
  /** Whether PostgreSQL may ask for TLS. */
  readonly postgres: boolean
  /** Called once; not where the socket closes first. */
  readonly done: (opening: Opening) => void
}

export class TlsOpening implements FirstReader {
  readonly #context: WorkerContext
  readonly #socket: Socket
  readonly #options: OpeningOptions
  readonly #read: FirstRead
  /** Since the last request of PostgreSQL. */
  #bytes = new Gathered()
  #hello: ClientHelloReader | undefined
  #opening: Opening | undefined
  #askedForTls = false
  #askedForGss = false

  /** `connections` holds everything that is open, for the drain. */
  constructor(
    context: WorkerContext,
    socket: Socket,
    connections: Set<Drainable>,
    options: OpeningOptions,
  ) {
    this.#context = context
    this.#socket = socket
    this.#options = options
    this.#read = new FirstRead(context, socket, connections, this)
  }

  start(): void {
    const { detect } = this.#context.config.timeouts
    this.#read.start(this.#options.ends ? undefined : detect)
  }

  look(chunk: Buffer): boolean {
    if (this.#hello === undefined) this.#bytes.add(chunk)
    this.#opening = this.#hello === undefined ? this.#begin() : this.#readHello(chunk)
    return this.#opening !== undefined
  }

  seen(): void {
    const opening = this.#opening
    if (opening === undefined) return
    if (opening.kind === 'handshake' || opening.kind === 'plain') this.#putBack()
    this.#options.done(opening)
  }

  ended(): void {
    this.#refuseUnseen('client_closed')
  }

  late(): void {
    this.#refuseUnseen('timeout')
  }

  #refuseUnseen(why: OpeningFault): void {
    this.#options.done({ kind: 'refused', why, alert: undefined })
  }

  #putBack(): void {
    const { bytes } = this.#hello ?? this.#bytes
    if (bytes.length > 0) this.#socket.unshift(bytes)
  }

  /** By the first byte: what the connection is. */
  #begin(): Opening | undefined {
    const { bytes } = this.#bytes
    const first = bytes[0] as number
    if (first === POSTGRES_BEGIN && this.#options.postgres && !this.#askedForTls)
      return this.#readPostgres(bytes)
    if (first !== TLS_HANDSHAKE) return this.#notTls(first)
    if (!this.#wantsName) return this.#goOn
    this.#hello = new ClientHelloReader()
    // It has begun: from here on it has the time of a handshake.
    if (!this.#options.ends) this.#read.allow(this.#context.config.timeouts.handshake)
    return this.#readHello(bytes)
  }

  get #wantsName(): boolean {
    return this.#options.ends || this.#context.directory.hasPassthrough
  }

  get #goOn(): Opening {
    return this.#options.ends ? { kind: 'handshake', serverName: '' } : { kind: 'plain' }
  }

  /** Whatever it is, no handshake comes of it; where handshakes are done they say why. */
  #notTls(first: number): Opening {
    const { ends } = this.#options
    if (ends && first >= SSLV2_LENGTH) return refused('client_hello', undefined)
    return !ends && this.#askedForTls ? refused('not_tls', undefined) : this.#goOn
  }

  /** Nothing may come behind a request before it is answered: it would be read as if it had come inside TLS (CVE-2021-23222). */
  #readPostgres(bytes: Buffer): Opening | undefined {
    const request = readPostgresRequest(bytes)
    if (request === 'more') return undefined
    if (request === 'other') return this.#goOn
    const isAlone = bytes.length === POSTGRES_REQUEST_BYTES
    if (!isAlone || (request === 'gss' && this.#askedForGss)) return refused('not_tls', undefined)
    this.#bytes = new Gathered()
    if (request === 'gss') {
      this.#askedForGss = true
      this.#socket.write('N')
      return undefined
    }
    this.#askedForTls = true
    this.#socket.write('S')
    // Nobody asks for a name: the rest is for the handshake to read.
    return this.#wantsName ? undefined : this.#goOn
  }

  /** After a request for GSSAPI alone the deployment is told nothing: it would be asked for what the client did not get. */
  get #preamble(): PostgresPreamble | undefined {
    if (!this.#askedForTls) return undefined
    const answered = this.#askedForGss ? 2 : 1
    return { received: answered * POSTGRES_REQUEST_BYTES, sent: answered }
  }

  #readHello(chunk: Buffer): Opening | undefined {
    const result = this.#hello?.push(chunk)
    return result === undefined || result.kind === 'more' ? undefined : this.#decide(result)
  }

  #decide(result: Exclude<HelloResult, { kind: 'more' }>): Opening {
    const { ends } = this.#options
    if (result.kind === 'invalid') {
      if (!ends && result.fault === 'not_tls' && !this.#askedForTls) return this.#goOn
      return refused('client_hello', DECODE_ERROR)
    }
    const serverName = normalizeServerName(result.hello.serverName)
    const owner = this.#context.directory.byHost(serverName)
    if (owner?.passthrough === true) {
      const first = this.#hello?.bytes ?? Buffer.alloc(0)
      return { kind: 'passthrough', serverName, first, preamble: this.#preamble }
    }
    return ends ? { kind: 'handshake', serverName } : refused('unroutable', UNRECOGNIZED_NAME)
  }
}

function refused(why: OpeningFault, alert: Buffer | undefined): Opening {
  return { kind: 'refused', why, alert }
}
