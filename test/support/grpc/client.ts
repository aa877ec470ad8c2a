/** `@grpc/grpc-js` as a client of the service in `service.ts`, with calls as promises. */
import type { status } from '@grpc/grpc-js'
import {
  type CallOptions,
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
} from '@grpc/grpc-js'
import type { KeyedCertificate } from '../../../src/runtime/certificates/issue.ts'
import { method } from './method.ts'
import { ECHO } from './service.ts'

export interface GrpcClientOptions {
  /** Of the listener's certificate; cleartext without. */
  readonly ca?: string | undefined
  /** What `:authority` says, and over TLS the name that is asked for. */
  readonly authority?: string
  /** Of the client itself. */
  readonly certificate?: KeyedCertificate
}

/** All that a client learns of a call. */
export interface GrpcOutcome {
  readonly code: status
  readonly details: string
  readonly messages: readonly Buffer[]
  /** Of the head of the answer; empty where it was trailers alone. */
  readonly head: Metadata
  readonly trailers: Metadata
}

export type GrpcFields = Readonly<Record<string, string | Buffer | readonly string[]>>

export class GrpcClient {
  readonly #client: Client

  constructor(
    port: number,
    { ca, authority = 'service.test', certificate }: GrpcClientOptions = {},
  ) {
    const secure = ca !== undefined
    this.#client = new Client(
      `127.0.0.1:${port}`,
      secure ? secured(ca, certificate) : credentials.createInsecure(),
      {
        'grpc.default_authority': authority,
        ...(secure ? { 'grpc.ssl_target_name_override': authority } : {}),
        // A failure is what the tests are about.
        'grpc.enable_retries': 0,
        'grpc.use_local_subchannel_pool': 1,
      },
    )
  }

  close(): void {
    this.#client.close()
  }

  unary(
    message: Buffer | string,
    fields: GrpcFields,
    options: CallOptions = {},
  ): Promise<GrpcOutcome> {
    return this.call('unary', message, fields, options)
  }

  /** A call with one message of a method with this path. */
  at(path: string, message: Buffer, fields: GrpcFields): Promise<GrpcOutcome> {
    return this.#call(method(path, false, false), message, fields)
  }

  /** A call of a method that there is not. */
  unknown(fields: GrpcFields): Promise<GrpcOutcome> {
    return this.at('/amt.test.Echo/Unknown', Buffer.alloc(0), fields)
  }

  /** A call with one message each way. */
  call(
    name: 'unary' | 'fail' | 'wait',
    message: Buffer | string,
    fields: GrpcFields,
    options: CallOptions = {},
  ): Promise<GrpcOutcome> {
    return this.#call(definitionOf(name), Buffer.from(message), fields, options)
  }

  #call(
    { path, requestSerialize, responseDeserialize }: Method,
    message: Buffer,
    fields: GrpcFields,
    options: CallOptions = {},
  ): Promise<GrpcOutcome> {
    return new Promise(resolve => {
      const gathered = new Gathered(resolve)
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        message,
        metadataOf(fields),
        options,
        (_error, answer) => {
          if (answer !== undefined) gathered.messages.push(answer)
          gathered.answered()
        },
      )
      gathered.watch(call)
    })
  }

  collect(messages: readonly Buffer[], fields: GrpcFields): Promise<GrpcOutcome> {
    const { path, requestSerialize, responseDeserialize } = definitionOf('collect')
    return new Promise(resolve => {
      const gathered = new Gathered(resolve)
      const call = this.#client.makeClientStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        metadataOf(fields),
        (_error, answer) => {
          if (answer !== undefined) gathered.messages.push(answer)
          gathered.answered()
        },
      )
      gathered.watch(call)
      for (const message of messages) call.write(message)
      call.end()
    })
  }

  repeat(message: Buffer, fields: GrpcFields): Promise<GrpcOutcome> {
    const { path, requestSerialize, responseDeserialize } = definitionOf('repeat')
    return new Promise(resolve => {
      const gathered = new Gathered(resolve)
      const call = this.#client.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        message,
        metadataOf(fields),
      )
      gathered.watch(call)
      call.on('data', (each: Buffer) => gathered.messages.push(each))
      call.on('end', () => gathered.answered())
      call.on('error', () => gathered.answered())
    })
  }

  /** The stream, and what has become of it once it is over. */
  chat(
    fields: GrpcFields,
    options: CallOptions = {},
  ): {
    readonly stream: ClientDuplexStream<Buffer, Buffer>
    readonly outcome: Promise<GrpcOutcome>
  } {
    const { path, requestSerialize, responseDeserialize } = definitionOf('chat')
    const stream = this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      metadataOf(fields),
      options,
    )
    const outcome = new Promise<GrpcOutcome>(resolve => {
      const gathered = new Gathered(resolve)
      gathered.watch(stream)
      stream.on('data', (each: Buffer) => gathered.messages.push(each))
      stream.on('end', () => gathered.answered())
      stream.on('error', () => gathered.answered())
    })
    return { stream, outcome }
  }
}

type Method = MethodDefinition<Buffer, Buffer>

function secured(ca: string, certificate: KeyedCertificate | undefined): ChannelCredentials {
  if (certificate === undefined) return credentials.createSsl(Buffer.from(ca))
  const { cert, key } = certificate
  return credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(cert))
}

interface Watched {
  on(event: 'metadata', listener: (metadata: Metadata) => void): unknown
  on(event: 'status', listener: (status: Status) => void): unknown
}

type Status = Pick<ServiceError, 'code' | 'details' | 'metadata'>

/** Status and last message come in either order. */
class Gathered {
  readonly messages: Buffer[] = []
  readonly #resolve: (outcome: GrpcOutcome) => void
  #head = new Metadata()
  #status: Status | undefined
  #answered = false

  constructor(resolve: (outcome: GrpcOutcome) => void) {
    this.#resolve = resolve
  }

  watch(call: Watched): void {
    call.on('metadata', metadata => {
      this.#head = metadata
    })
    call.on('status', status => {
      this.#status = status
      this.#look()
    })
  }

  answered(): void {
    this.#answered = true
    this.#look()
  }

  #look(): void {
    if (!this.#answered || this.#status === undefined) return
    const { code, details, metadata: trailers } = this.#status
    this.#resolve({ code, details, messages: this.messages, head: this.#head, trailers })
  }
}

function definitionOf(name: string): Method {
  const found = ECHO[name]
  if (found === undefined) throw new Error(`no method ${name}`)
  return found
}

function metadataOf(fields: GrpcFields): Metadata {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(fields))
    for (const each of Array.isArray(value) ? (value as string[]) : [value as string | Buffer])
      metadata.add(name, each)
  return metadata
}
