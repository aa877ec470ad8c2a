/**
 * `@grpc/grpc-js` as a deployment: a service with a method of each of the four kinds, and the health protocol. Messages are
 * bytes: nothing that stands between client and deployment knows what is in them.
 */
import { EventEmitter, once } from 'node:events'
import type { status } from '@grpc/grpc-js'
import {
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
} from '@grpc/grpc-js'
import type { Test } from 'tap'
import type { CertificateFiles } from '../certificates.ts'
import { replyMetadata } from './metadata.ts'
import { method } from './method.ts'

export const SERVICE = 'amt.test.Echo'

export const ECHO: ServiceDefinition = {
  /** One message back as it came. */
  unary: method(`/${SERVICE}/Unary`, false, false),
  /** All messages joined. */
  collect: method(`/${SERVICE}/Collect`, true, false),
  /** The message as often as its first octet says. */
  repeat: method(`/${SERVICE}/Repeat`, false, true),
  /** Each message back as it comes. */
  chat: method(`/${SERVICE}/Chat`, true, true),
  /** Ends with the status that the message holds in JSON: `{ code, details }`. */
  fail: method(`/${SERVICE}/Fail`, false, false),
  /** Is never answered. */
  wait: method(`/${SERVICE}/Wait`, false, false),
}

const HEALTH: ServiceDefinition = {
  check: method('/grpc.health.v1.Health/Check', false, false),
}
/** `HealthCheckResponse`: field 1, a varint. */
const SERVING = Buffer.of(0x08, 1)
const NOT_SERVING = Buffer.of(0x08, 2)

/** A call that reached `Wait` or `Chat`. */
export interface GrpcCall {
  readonly metadata: Metadata
  /** When the deployment gives up, by what the client said. */
  readonly deadline: Date | number
  /** The client, or whoever stands between, has given it up. */
  readonly cancelled: Promise<void>
}

export interface GrpcDeployment extends EventEmitter<{ call: [GrpcCall] }> {
  /** Of the tenant whose it is. */
  readonly name: string
  readonly port: number
  readonly endpoint: string
  /** What the health protocol says from now on. */
  serving: boolean
  /** Calls of the echo service that came. */
  calls: number
  /** The next call of `Wait` or `Chat`. */
  opened(): Promise<GrpcCall>
  /** Cuts what is open. */
  close(): void
}

class Deployment extends EventEmitter<{ call: [GrpcCall] }> implements GrpcDeployment {
  readonly server = new Server()
  readonly name: string
  port = 0
  endpoint = ''
  serving = true
  calls = 0

  constructor(name: string) {
    super()
    this.name = name
    this.server.addService(ECHO, {
      unary: this.#unary,
      collect: this.#collect,
      repeat: this.#repeat,
      chat: this.#chat,
      fail: this.#fail,
      wait: this.#wait,
    })
    const check: handleUnaryCall<Buffer, Buffer> = (_call, answer) =>
      answer(null, this.serving ? SERVING : NOT_SERVING)
    this.server.addService(HEALTH, { check })
  }

  async opened(): Promise<GrpcCall> {
    const [call] = (await once(this, 'call', { signal: AbortSignal.timeout(8_000) })) as [GrpcCall]
    return call
  }

  close(): void {
    this.server.forceShutdown()
  }

  readonly #unary: handleUnaryCall<Buffer, Buffer> = (call, answer) => {
    this.calls++
    const { head, trailers } = replyMetadata(call.metadata, this.name)
    call.sendMetadata(head)
    answer(null, call.request, trailers)
  }

  readonly #collect: handleClientStreamingCall<Buffer, Buffer> = (call, answer) => {
    this.calls++
    const { head, trailers } = replyMetadata(call.metadata, this.name)
    call.sendMetadata(head)
    const messages: Buffer[] = []
    call.on('data', (message: Buffer) => messages.push(message))
    call.on('end', () => answer(null, Buffer.concat(messages), trailers))
  }

  readonly #repeat: handleServerStreamingCall<Buffer, Buffer> = call => {
    this.calls++
    const { head, trailers } = replyMetadata(call.metadata, this.name)
    call.sendMetadata(head)
    for (let left = call.request[0] ?? 0; left > 0; left--) call.write(call.request)
    call.end(trailers)
  }

  readonly #chat: handleBidiStreamingCall<Buffer, Buffer> = call => {
    this.calls++
    const { head, trailers } = replyMetadata(call.metadata, this.name)
    call.sendMetadata(head)
    this.#tell(call)
    call.on('data', (message: Buffer) => call.write(message))
    call.on('end', () => call.end(trailers))
  }

  readonly #fail: handleUnaryCall<Buffer, Buffer> = ({ metadata, request }, answer) => {
    this.calls++
    const { trailers } = replyMetadata(metadata, this.name)
    const { code, details } = JSON.parse(request.toString()) as { code: status; details: string }
    answer({ code, details, metadata: trailers })
  }

  readonly #wait: handleUnaryCall<Buffer, Buffer> = call => {
    this.calls++
    this.#tell(call)
  }

  #tell(call: {
    readonly metadata: Metadata
    getDeadline(): Date | number
    on(event: 'cancelled', listener: () => void): unknown
  }): void {
    const cancelled = new Promise<void>(resolve => call.on('cancelled', () => resolve()))
    this.emit('call', { metadata: call.metadata, deadline: call.getDeadline(), cancelled })
  }
}

/** Starts one on a free port, over TLS where there is a certificate; the end of the test closes it. */
export async function startGrpc(
  t: Test,
  name: string,
  certificate?: CertificateFiles,
): Promise<GrpcDeployment> {
  const deployment = new Deployment(name)
  const credentials =
    certificate === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(null, [
          { cert_chain: Buffer.from(certificate.cert), private_key: Buffer.from(certificate.key) },
        ])
  deployment.port = await new Promise<number>((resolve, reject) => {
    deployment.server.bindAsync('127.0.0.1:0', credentials, (error, port) =>
      error === null ? resolve(port) : reject(error),
    )
  })
  const scheme = certificate === undefined ? 'h2c' : 'h2'
  deployment.endpoint = `${scheme}://127.0.0.1:${deployment.port}`
  t.teardown(() => deployment.close())
  return deployment
}
