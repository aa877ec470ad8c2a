/** One call as a deployment that speaks HTTP/2 gets it: answered as planned, and every byte that is another's is a leak. */

import { REFUSED_STREAM } from '../../../src/codec/http2/frame.ts'
import { INTERNAL_ERROR } from '../http2/codes.ts'
import type { FramePeer } from '../http2/frame-peer.ts'
import type { Fields, FrameStream } from '../http2/frame-stream.ts'
import type { SeededRandom } from '../seeded-random.ts'
import { type CallPlan, trailerOf } from './call-plan.ts'
import { MarkedBytes } from './marked-bytes.ts'
import { headProblem } from './marked-head.ts'
import type { Run } from './run.ts'
import type { TenantFixture } from './tenants.ts'

/** How often a deployment turns a call away that it could serve, or says that it takes no more on this connection. */
const REFUSED = 0.01
const GOES_AWAY = 0.003
/** What the proxy may write for each frame of a deployment, beside its data. */
const FRAME_OVERHEAD = 12
/** Smaller ones are an attack, where they are many. */
const LEAST_FRAME = 256

export interface StreamHost {
  readonly run: Run
  readonly tenant: TenantFixture
  readonly peer: FramePeer
  readonly random: SeededRandom
  /** It takes every call. */
  readonly steady: boolean
  /** Streams above it are not looked at. */
  lastTaken: number
}

/** Serves `stream`, whose head is there. */
export function serveStream(host: StreamHost, stream: FrameStream): void {
  const { run, tenant, random, peer, steady } = host
  const ignored = stream.id > host.lastTaken
  const plan = planOf(host, stream, ignored)
  if (plan === undefined) return
  if (ignored) {
    plan.turnedAway = true
    return
  }
  if (!steady && plan.operation === 'normal' && random.chance(REFUSED)) {
    plan.turnedAway = true
    stream.reset(REFUSED_STREAM)
    return
  }
  if (!steady && host.lastTaken === Number.POSITIVE_INFINITY && random.chance(GOES_AWAY)) {
    host.lastTaken = peer.lastStreamId
    peer.goAway()
    tenant.farewells++
    peer.socket.once('close', () => tenant.farewellsOver++)
  }
  new MarkedStream(run, tenant, stream, plan).begin()
}

/**
 * The plan of this tenant's call; anything else is a violation. One that is `ignored` may be over by now: the proxy had begun to
 * send it here, was told that nobody looks at it, and had it answered elsewhere.
 */
function planOf(
  { run, tenant }: StreamHost,
  stream: FrameStream,
  ignored: boolean,
): CallPlan | undefined {
  const fields = stream.sections[0] ?? []
  const value = (name: string): string => fields.find(field => field[0] === name)?.[1] ?? ''
  const [, operation, nonce = ''] = /^\/([a-z]+)\/([a-z0-9]+)$/.exec(value(':path')) ?? []
  const plan = run.plans.get(nonce)
  if (plan === undefined && ignored) return undefined
  const head = `\r\n${fields.map(([name, text]) => `${name}: ${text}\r\n`).join('')}`
  const problem = plan === undefined ? 'a call that nobody makes' : headProblem(head, plan)
  if (
    plan !== undefined &&
    problem === undefined &&
    plan.tenant === tenant &&
    plan.operation === operation &&
    plan.method === value(':method')
  )
    return plan
  run.violation(
    `deployment of ${tenant.id} gets a call of ${plan?.tenant.id} (${problem}): ${head}`,
  )
  stream.reset(INTERNAL_ERROR)
  return undefined
}

class MarkedStream {
  readonly #run: Run
  readonly #tenant: TenantFixture
  readonly #stream: FrameStream
  readonly #plan: CallPlan
  readonly #expected: MarkedBytes
  #answering = false

  constructor(run: Run, tenant: TenantFixture, stream: FrameStream, plan: CallPlan) {
    this.#run = run
    this.#tenant = tenant
    this.#stream = stream
    this.#plan = plan
    this.#expected = new MarkedBytes(tenant.marker, plan.nonce, 'request')
  }

  begin(): void {
    const [plan, stream] = [this.#plan, this.#stream]
    plan.seen = true
    plan.bodySeen = 0
    if (plan.death?.when === 'head') {
      this.#die()
      return
    }
    if (plan.expectsContinue) this.#section([[':status', '100']])
    stream.onData = bytes => this.#check(bytes)
    void this.#serve()
  }

  async #serve(): Promise<void> {
    const [plan, stream] = [this.#plan, this.#stream]
    await stream.until(() => stream.remoteEnded || stream.over)
    if (!stream.remoteEnded || stream.over || this.#answering) return
    if (this.#expected.offset !== plan.body.size)
      this.#violation(`gets ${this.#expected.offset} bytes of a body of ${plan.body.size}`)
    else if (plan.trailers && !isTrailer(stream.trailers, plan))
      this.#violation(`gets other trailers: ${JSON.stringify(stream.trailers)}`)
    else await this.#answer()
  }

  #check(bytes: Buffer): void {
    this.#plan.bodySeen += bytes.length
    if (this.#expected.matches(bytes, 0, bytes.length)) return
    this.#violation(
      `gets bytes that are not of the call ${this.#plan.nonce}: ${bytes.toString('latin1', 0, 200)}`,
    )
  }

  async #answer(): Promise<void> {
    this.#answering = true
    const plan = this.#plan
    const { answer, method, death } = plan
    const identity: Fields = [
      ['x-marker', this.#tenant.marker],
      ['x-nonce', plan.nonce],
    ]
    for (let hint = 0; hint < plan.hints; hint++) this.#section([[':status', '103'], ...identity])
    const length: Fields =
      answer.framing === 'length' ? [['content-length', String(answer.size)]] : []
    const head: Fields = [[':status', String(plan.status)], ...identity, ...length]
    const empty = answer.framing === 'length' && answer.size === 0
    const bodiless = method === 'HEAD' || answer.framing === 'none' || empty
    if (bodiless) {
      // With its head such an answer is whole for whoever reads no further, whatever follows.
      if (death === undefined) this.#section(head, true)
      else this.#die()
      return
    }
    this.#section(head)
    const data = new MarkedBytes(this.#tenant.marker, plan.nonce, 'answer').next(answer.size)
    const part = typeof death?.when === 'number' ? death.when : 1
    await this.#pieces(data.subarray(0, Math.floor(data.length * part)))
    if (death !== undefined) this.#die()
    else if (plan.answerTrailers) this.#stream.end([trailerOf(plan)])
    else this.#stream.end(answer.chunk % 2 === 0 ? 'flag' : 'frame')
  }

  async #pieces(data: Buffer): Promise<void> {
    const { pieces, answer } = this.#plan
    const size = Math.max(1, Math.ceil(data.length / pieces))
    for (let at = 0; at < data.length && !this.#stream.over; at += size) {
      const piece = data.subarray(at, at + size)
      const frame = Math.max(LEAST_FRAME, answer.chunk)
      this.#plan.answerSent += piece.length + Math.ceil(piece.length / frame) * FRAME_OVERHEAD
      this.#stream.write(piece, { frame })
      if (at + size < data.length) await new Promise(resolve => setImmediate(resolve))
    }
  }

  #section(fields: Fields, end = false): void {
    this.#plan.answerSent += fields.reduce(
      (sum, [name, value]) => sum + name.length + value.length,
      9,
    )
    this.#stream.section(fields, { end })
  }

  #die(): void {
    this.#stream.reset(this.#plan.death?.how === 'end' ? 0 : INTERNAL_ERROR)
  }

  #violation(text: string): void {
    this.#run.violation(`deployment of ${this.#tenant.id} ${text}`)
    this.#stream.reset(INTERNAL_ERROR)
  }
}

/** Whether these are the trailers of this call. */
export function isTrailer(fields: Fields | undefined, plan: CallPlan): boolean {
  const [name, value] = trailerOf(plan)
  return fields?.length === 1 && fields[0]?.[0] === name && fields[0][1] === value
}
