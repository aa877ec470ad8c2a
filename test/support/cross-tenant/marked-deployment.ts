/**
 * A deployment of one tenant on a raw socket. It answers each call as planned, and takes every byte that is not its own
 * tenant's for a leak.
 */
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, TLSSocket } from 'node:tls'
import { FramePeer } from '../http2/frame-peer.ts'
import type { Secret, Upstream } from '../http2/held-deployment.ts'
import { SeededRandom } from '../seeded-random.ts'
import { BodyDecoder } from './body-decoder.ts'
import { answerOf, type CallPlan, trailerOf } from './call-plan.ts'
import { MarkedBytes } from './marked-bytes.ts'
import { headProblem } from './marked-head.ts'
import { type StreamHost, serveStream } from './marked-stream.ts'
import type { Run } from './run.ts'
import type { TenantFixture } from './tenants.ts'

/** Begins the one line that says which plan a tunnel follows. */
export const TUNNEL_MARK = 0x01

/** Windows that it gives to what is sent to it. */
const WINDOWS = [65_535, 65_535, 20_000, 1_000] as const

/** What a deployment speaks, and with what it proves who it is. */
export interface Spoken {
  readonly version: Upstream
  readonly secret?: Secret
  /** It takes every call, on every connection, for as long as it lives. */
  readonly steady?: boolean
}

export class MarkedDeployment {
  readonly #run: Run
  readonly #tenant: TenantFixture
  readonly #host: string
  readonly #spoken: Spoken
  readonly #random: SeededRandom
  /** Of TLS: what its sockets stand on. */
  readonly #beneath = new Set<Socket>()
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #port = 0

  constructor(run: Run, tenant: TenantFixture, host: string, spoken: Spoken = { version: 'http' }) {
    this.#run = run
    this.#tenant = tenant
    this.#host = host
    this.#spoken = spoken
    this.#random = SeededRandom.fork(run.seed, host.length + Number(host.split('.').at(-1)))
  }

  get url(): string {
    return `${this.#spoken.version}://${this.#host}:${this.#port}`
  }

  /** Listens; the second time at the same place. */
  async listen(): Promise<void> {
    const { version, secret } = this.#spoken
    const accept = (socket: Socket): void => this.#accept(socket)
    const options = { noDelay: true, allowHalfOpen: true }
    const server =
      version === 'h2'
        ? createTlsServer({ ...options, ...secret, ALPNProtocols: ['h2'] }, accept)
        : createServer(options, accept)
    this.#server = server
    server.on('tlsClientError', (_error, socket) => socket.destroy())
    if (version === 'h2')
      server.on('connection', (socket: Socket) => {
        this.#beneath.add(socket)
        socket.on('close', () => this.#beneath.delete(socket))
      })
    server.listen(this.#port, this.#host)
    await once(server, 'listening')
    const address = server.address()
    if (typeof address === 'object' && address !== null) this.#port = address.port
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    if (this.#spoken.version === 'http') {
      new Conversation(this.#run, this.#tenant, socket).begin()
      return
    }
    // Nobody listens yet: an end without a word is an end.
    const ended = (): void => void socket.end()
    socket.on('error', () => {})
    socket.on('end', ended)
    socket.once('data', (first: Buffer) => {
      socket.off('end', ended)
      if (first[0] === TUNNEL_MARK) new Conversation(this.#run, this.#tenant, socket).begin()
      else this.#serveStreams(socket)
      socket.emit('data', first)
    })
  }

  #serveStreams(socket: Socket): void {
    const peer = new FramePeer(socket, 'server', { window: this.#random.pick(WINDOWS) })
    const host: StreamHost = {
      run: this.#run,
      tenant: this.#tenant,
      peer,
      random: this.#random,
      steady: this.#spoken.steady ?? false,
      lastTaken: Number.POSITIVE_INFINITY,
    }
    peer.onStream = stream => {
      stream.onOver = () => peer.streams.delete(stream.id)
      serveStream(host, stream)
    }
    socket.on('end', () => socket.end())
  }

  /** Dies with all its connections, as a process does that is killed; `how` they end. */
  async die(how: 'reset' | 'end'): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server?.close(() => resolve())
    for (const socket of this.#sockets) {
      // Behind a FIN that is on its way Node 26.10 loses the handle of a socket that is reset.
      if (how === 'reset' && !socket.writableEnded) cut(socket)
      else socket.destroy()
    }
    // One in the middle of its handshake is no socket yet: it would live on, and the server wait for its end.
    for (const socket of this.#beneath) socket.destroy()
    await promise
  }
}

/** One connection from the proxy. */
class Conversation {
  readonly #socket: Socket
  readonly #run: Run
  readonly #tenant: TenantFixture
  #input: Buffer = Buffer.alloc(0)
  #state: 'head' | 'body' | 'answering' | 'stream' | 'dead' = 'head'
  #plan: CallPlan | undefined
  #body = new BodyDecoder('none')
  #expected: MarkedBytes | undefined
  /** Of a stream: whether all of it is written, and whether the proxy has ended its side. */
  #written = false
  #peerEnded = false

  constructor(run: Run, tenant: TenantFixture, socket: Socket) {
    this.#run = run
    this.#tenant = tenant
    this.#socket = socket
  }

  begin(): void {
    const socket = this.#socket
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('end', () => this.#ended())
    socket.on('error', () => {})
    socket.on('close', () => this.#plan?.streamClosed?.())
  }

  #take(chunk: Buffer): void {
    if (this.#state === 'stream') {
      this.#check(chunk, 0, chunk.length)
      return
    }
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk])
    while (this.#input.length > 0 && this.#step());
  }

  /** Whether there may be more to do with the input. */
  #step(): boolean {
    switch (this.#state) {
      case 'head':
        return this.#input[0] === TUNNEL_MARK ? this.#readTunnelLine() : this.#readHead()
      case 'body':
        this.#readBody()
        return true
      case 'answering':
        return this.#violation('gets a call before it has answered the one before')
      case 'stream':
        this.#check(this.#input, 0, this.#input.length)
        this.#input = Buffer.alloc(0)
        return false
      case 'dead':
        return false
    }
  }

  #readTunnelLine(): boolean {
    const end = this.#input.indexOf('\n')
    if (end < 0) return false
    const nonce = this.#input.toString('latin1', 1, end)
    this.#input = this.#input.subarray(end + 1)
    const plan = this.#run.plans.get(nonce)
    if (plan?.tenant !== this.#tenant) return this.#violation(`gets the tunnel ${nonce}`)
    this.#begin(plan)
    this.#startStream(plan)
    return true
  }

  #readHead(): boolean {
    const end = this.#input.indexOf('\r\n\r\n')
    if (end < 0) return false
    const head = this.#input.toString('latin1', 0, end + 2)
    this.#input = this.#input.subarray(end + 4)
    const [, method, operation, nonce] =
      /^([A-Z]+) \/([a-z]+)\/([a-z0-9]+) HTTP\/1\.1\r\n/.exec(head) ?? []
    const plan = this.#run.plans.get(nonce ?? '')
    const problem = plan === undefined ? 'a call that nobody makes' : headProblem(head, plan)
    if (
      plan === undefined ||
      problem !== undefined ||
      plan.tenant !== this.#tenant ||
      plan.operation !== operation ||
      plan.method !== method
    )
      return this.#violation(`gets a call of ${plan?.tenant.id} (${problem}): ${head}`)
    this.#begin(plan)
    if (plan.expectsContinue) this.#write(plan, Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'))
    const { framing, size } = plan.body
    this.#body = new BodyDecoder(framing, size)
    this.#state = 'body'
    if (plan.death?.when === 'head') this.#die(plan)
    else if (this.#body.done) this.#answer(plan)
    return true
  }

  #begin(plan: CallPlan): void {
    this.#plan = plan
    plan.seen = true
    plan.bodySeen = 0
    this.#expected = new MarkedBytes(this.#tenant.marker, plan.nonce, 'request')
  }

  #readBody(): void {
    const input = this.#input
    try {
      const at = this.#body.read(input, 0, (bytes, start, end) => this.#check(bytes, start, end))
      this.#input = input.subarray(at)
    } catch (error) {
      this.#violation(`gets a body that is malformed: ${String(error)}`)
      return
    }
    const plan = this.#plan as CallPlan
    if (!this.#body.done) return
    if (this.#expected?.offset !== plan.body.size)
      this.#violation(`gets ${this.#expected?.offset} bytes of a body of ${plan.body.size}`)
    else if (plan.trailers && this.#body.trailers.join() !== trailerOf(plan).join(': '))
      this.#violation(`gets other trailers: ${this.#body.trailers.join()}`)
    else this.#answer(plan)
  }

  #check(bytes: Buffer, start: number, end: number): void {
    const plan = this.#plan as CallPlan
    plan.bodySeen += end - start
    if (this.#state === 'dead' || this.#expected?.matches(bytes, start, end) === true) return
    this.#violation(
      `gets bytes that are not of the call ${plan.nonce}: ${bytes.toString('latin1', start, Math.min(end, start + 200))}`,
    )
  }

  #answer(plan: CallPlan): void {
    this.#state = 'answering'
    const whole = answerOf(plan)
    const { death } = plan
    // Not all of it, or the proxy would take the connection for one that can be used again.
    const part = typeof death?.when === 'number' && plan.stream === undefined ? death.when : 1
    this.#writeInPieces(plan, whole.subarray(0, Math.floor(whole.length * part)), () => {
      if (plan.stream !== undefined) this.#startStream(plan)
      else if (death !== undefined) this.#die(plan)
      else if (plan.answer.framing === 'close') this.#end()
      else this.#state = 'head'
    })
  }

  #writeInPieces(plan: CallPlan, bytes: Buffer, then: () => void): void {
    const size = Math.ceil(bytes.length / plan.pieces)
    const writeFrom = (at: number): void => {
      if (this.#state === 'dead' || this.#socket.destroyed) return
      this.#write(plan, bytes.subarray(at, at + size))
      if (at + size >= bytes.length) then()
      else setImmediate(writeFrom, at + size)
    }
    writeFrom(0)
  }

  #write(plan: CallPlan, bytes: Buffer): void {
    plan.answerSent += bytes.length
    if (bytes.length > 0) this.#socket.write(bytes)
  }

  #startStream(plan: CallPlan): void {
    this.#state = 'stream'
    const { fromDeployment, deploymentEnds } = plan.stream as NonNullable<CallPlan['stream']>
    const part = typeof plan.death?.when === 'number' ? plan.death.when : 1
    const bytes = new MarkedBytes(this.#tenant.marker, plan.nonce, 'answer').next(fromDeployment)
    this.#writeInPieces(plan, bytes.subarray(0, Math.floor(bytes.length * part)), () => {
      if (plan.death !== undefined) this.#die(plan)
      else if (deploymentEnds === 'at once' || this.#peerEnded) this.#end()
      this.#written = true
    })
    if (this.#input.length > 0) this.#step()
  }

  #die(plan: CallPlan): void {
    this.#state = 'dead'
    const socket = this.#socket
    // With FIN a body that the end of the connection ends would be whole.
    if (plan.death?.how === 'reset' || plan.answer.framing === 'close')
      socket.write('', () => cut(socket))
    else socket.end(() => socket.destroy())
  }

  #ended(): void {
    const plan = this.#plan
    // A client that leaves takes its call with it; whole ones must have come whole.
    if (
      this.#state === 'stream' &&
      (plan?.operation === 'normal' || plan?.operation === 'upgraded')
    ) {
      const expected = plan.stream?.fromClient
      if (this.#expected?.offset !== expected)
        this.#violation(`gets ${this.#expected?.offset} bytes of a stream of ${expected}`)
    }
    this.#peerEnded = true
    if (this.#state !== 'stream' || this.#written) this.#end()
  }

  /** Not within an arrival: a TLS socket of Node loses the records that it has not told of yet. */
  #end(): void {
    const socket = this.#socket
    if (socket instanceof TLSSocket) setImmediate(() => socket.end())
    else socket.end()
  }

  #violation(text: string): false {
    this.#state = 'dead'
    this.#run.violation(`deployment of ${this.#tenant.id} ${text}`)
    this.#socket.destroy()
    return false
  }
}

/** With a reset, where that can be: Node has none for a socket with TLS. */
function cut(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}
