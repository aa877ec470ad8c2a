/**
 * One connection of a client that speaks HTTP/2 and what it does there: streams of many tenants at once, each chosen at random
 * from numbers of its own, so that a seed says what they are whatever their order becomes.
 */
import { FramePeer, type FramePeerOptions } from '../http2/frame-peer.ts'
import type { FrameStream } from '../http2/frame-stream.ts'
import { SeededRandom } from '../seeded-random.ts'
import type { Outcome } from './answer-reader.ts'
import {
  type CallPlan,
  describePlan,
  type Operation,
  type PlanChanges,
  planCall,
} from './call-plan.ts'
import { MALFORMED_STREAMS, proofOf, refusalOf, type Way } from './places.ts'
import { StreamAnswer } from './stream-answer.ts'
import { headOf, type StreamRequest, writeRequest } from './stream-request.ts'
import { expectedOfAbandonedStream, expectedOfStream, keyOf } from './tally.ts'
import { enter, leave, type TenantFixture } from './tenants.ts'
import type { World } from './world.ts'

/** Of a hundred visits so many exchanges each, on average and at most. */
const STEPS = { few: 8, many: 60 }
const AT_ONCE = { 1: 20, 4: 40, 12: 30, 30: 10 } as const
/** How often a client that has done with all else leaves in the middle of further calls. */
const ABANDONED = 0.12

const STEP_WEIGHTS = {
  call: 640,
  'slow download': 2,
  continued: 20,
  refusal: 80,
  malformed: 30,
  death: 70,
  'reset of a request': 60,
  'reset of a call': 30,
  'reset of an answer': 60,
} as const
export type Http2Step = keyof typeof STEP_WEIGHTS

/** Where a client goes, and what it does there how often. */
interface Habits {
  readonly way: Way
  readonly weights: Readonly<Partial<Record<Http2Step, number>>>
}

export class Http2Visit {
  readonly #world: World
  readonly #way: Way
  readonly #weights: Readonly<Partial<Record<Http2Step, number>>>
  readonly #seed: number
  readonly #peer: FramePeer
  readonly #doing = new Set<string>()
  #notes = 0

  private constructor(world: World, { way, weights }: Habits, seed: number, peer: FramePeer) {
    this.#world = world
    this.#way = way
    this.#weights = weights
    this.#seed = seed
    this.#peer = peer
  }

  /** Makes a connection, uses it, and closes it. */
  static async make(
    world: World,
    random: SeededRandom,
    { way = world.callWay(random), weights = STEP_WEIGHTS }: Partial<Habits> = {},
  ): Promise<void> {
    const { run } = world
    const options: FramePeerOptions = {
      window: random.pick([65_535, 65_535, 8_000, 2_000]),
      granting: random.pick(['needed', 'always'] as const),
    }
    const peer = await FramePeer.connect(way.place, options)
    readSlowly(peer, SeededRandom.fork(random.uint32(), 0))
    const visit = new Http2Visit(world, { way, weights }, random.uint32(), peer)
    const describe = (): string =>
      `HTTP/2 on ${way.listener}, port ${peer.socket.localPort}: ${[...visit.#doing].join('; ')}; ${visit.#open()}`
    run.underWay.add(describe)
    await visit.#use(random)
    run.underWay.delete(describe)
  }

  async #use(random: SeededRandom): Promise<void> {
    const { run } = this.#world
    const steps = random.between(1, random.chance(0.8) ? STEPS.few : STEPS.many)
    const atOnce = Number(random.weighted(AT_ONCE))
    let begun = 0
    const one = async (): Promise<void> => {
      while (begun < steps && !run.over && !this.#peer.over) {
        const own = SeededRandom.fork(this.#seed, begun++)
        await this.#step(own)
      }
    }
    await Promise.all(Array.from({ length: Math.min(atOnce, steps) }, one))
    if (random.chance(ABANDONED) && !this.#peer.over) await this.#abandon(random)
    else await this.#leave()
  }

  /** What its streams wait for, for the message that they wait too long. */
  #open(): string {
    return [...this.#peer.streams.values()]
      .filter(stream => !stream.over)
      .map(
        ({ id, status, dataReceived, unsent, localEnded, remoteEnded, sections }) =>
          `${id} ${JSON.stringify({ status, dataReceived, unsent, localEnded, remoteEnded, sections })}`,
      )
      .join(', ')
  }

  async #leave(): Promise<void> {
    const peer = this.#peer
    this.#doing.add('closing')
    await peer.barrier()
    const { run } = this.#world
    if (peer.goneAway !== undefined && peer.goneAway.code !== 0)
      run.violation(`a connection ends with ${peer.farewell}, ${JSON.stringify(peer.goneAway)}`)
    const stray = [...peer.streams.values()].reduce((sum, stream) => sum + stream.stray, peer.stray)
    if (stray > 0) run.violation(`${stray} octets on streams that are over, or never were`)
    await peer.close()
  }

  async #step(random: SeededRandom): Promise<void> {
    const step = random.weighted(this.#weights as Readonly<Record<Http2Step, number>>)
    const tenant = this.#tenant(random)
    const note = `${step} of ${tenant.id}, ${this.#notes++}`
    this.#doing.add(note)
    // Where an outage comes on top, nobody can tell how a call will end.
    if (tenant.phase === 'steady') await this.#make(step, tenant, random)
    else await this.#inOutage(tenant, random)
    this.#doing.delete(note)
  }

  #make(step: Http2Step, tenant: TenantFixture, random: SeededRandom): Promise<void> {
    switch (step) {
      case 'call':
        return this.#whole(step, tenant, random, trailersOf(random))
      case 'slow download':
        return this.#whole(step, tenant, random, download(random))
      case 'continued':
        return this.#whole(step, tenant, random, {
          method: 'POST',
          body: { framing: 'length', size: random.between(1, 3_000), chunk: 1_000 },
          expectsContinue: true,
        })
      case 'refusal':
        return this.#refused(tenant, random)
      case 'malformed':
        return this.#malformed(tenant, random)
      case 'death':
        return this.#dying(tenant, random)
      case 'reset of a request':
      case 'reset of a call':
      case 'reset of an answer':
        return this.#reset(step, tenant, random)
    }
  }

  #tenant(random: SeededRandom): TenantFixture {
    return this.#way.tenant ?? random.pick(this.#world.tenants)
  }

  #plan(
    kind: string,
    random: SeededRandom,
    { tenant, operation }: { tenant: TenantFixture; operation: Operation },
    changes?: PlanChanges,
  ): CallPlan {
    const { run } = this.#world
    const plan = planCall(random, { nonce: run.nonce(), tenant, operation }, changes)
    return run.begin(plan, `HTTP/2 ${kind}`)
  }

  #write(plan: CallPlan, random: SeededRandom, part = 1): StreamRequest & { answer: StreamAnswer } {
    const proof = proofOf(random, this.#way, plan.tenant)
    const request = writeRequest(this.#peer, plan, { way: this.#way, proof, random, part })
    const { run } = this.#world
    return {
      ...request,
      answer: new StreamAnswer(plan, request.stream, text => run.violation(text)),
    }
  }

  /** A call that must end as planned. */
  async #whole(
    kind: string,
    tenant: TenantFixture,
    random: SeededRandom,
    changes: PlanChanges,
  ): Promise<void> {
    const { run, tally } = this.#world
    enter(tenant)
    const plan = this.#plan(kind, random, { tenant, operation: 'normal' }, changes)
    const { stream, answer } = this.#write(plan, random)
    const outcome = await answer.outcome()
    leave(tenant)
    run.end(1)
    const key = keyOf(tenant.id, 'normal')
    if (outcome.kind === 'answer') {
      run.plans.delete(plan.nonce)
      if (stream.uncertain > 0) tally.addLater(key, () => expectedOfStream([1, 1], stream))
      else
        tally.add(key, {
          calls: 1,
          connections: 0,
          ingress: stream.sent,
          egress: stream.received,
        })
    } else if (tenant.http2 && outcome.kind === 'error') {
      run.suspect(plan)
      await this.#finish(stream)
      tally.addLater(key, () => expectedOfStream([0, 1], stream))
    } else
      run.violation(
        `a call on ${this.#way.listener} ends with ${JSON.stringify(outcome)}, reset ${stream.resetByPeer}, ${this.#peer.farewell}, ${JSON.stringify(this.#peer.goneAway)}: ${describePlan(plan)}`,
      )
  }

  /** Ends what is left of a request whose answer has come. */
  async #finish(stream: FrameStream): Promise<void> {
    stream.reset(0)
    await this.#peer.barrier()
  }

  /** A call whose proof is none, or two that contradict each other. */
  async #refused(own: TenantFixture, random: SeededRandom): Promise<void> {
    const { run, tally, tenants } = this.#world
    const other = random.pick(tenants.filter(tenant => tenant !== own))
    const refusal = refusalOf(random, this.#way, { own, other })
    const method = random.pick(['GET', 'POST'])
    const plan = this.#plan(
      `refused: ${refusal.code}`,
      random,
      { tenant: own, operation: 'refused' },
      { method },
    )
    const { stream } = writeRequest(this.#peer, plan, { way: this.#way, proof: refusal, random })
    const answer = new StreamAnswer(plan, stream, text => run.violation(text))
    const outcome = await answer.outcome()
    run.end(1)
    tally.rejected(refusal.code, this.#way.listener)
    if (outcome.code !== refusal.code)
      run.violation(
        `instead of ${refusal.code} there is ${JSON.stringify(outcome)}, reset ${stream.resetByPeer}: ${describePlan(plan)}`,
      )
    if (random.chance(0.5)) await this.#finish(stream)
    else await stream.until(() => stream.over)
  }

  /** No request at all: its stream is reset, and no other. */
  async #malformed(tenant: TenantFixture, random: SeededRandom): Promise<void> {
    const { run, tally } = this.#world
    const { code, change } = random.pick(MALFORMED_STREAMS)
    const plan = this.#plan(
      `malformed: ${code}`,
      random,
      { tenant, operation: 'refused' },
      { method: 'GET' },
    )
    const head = headOf(plan, this.#way, proofOf(random, this.#way, tenant))
    const stream = this.#peer.request(change(head), { end: true })
    await stream.until(() => stream.over)
    run.end(1)
    tally.rejected(code, this.#way.listener)
    if (stream.resetByPeer !== 1)
      run.violation(
        `${code}: reset ${stream.resetByPeer}, ${stream.status}: ${JSON.stringify(change(head))}`,
      )
  }

  /** A call to a deployment that is down, or nearly: it may end in any way that is honest. */
  async #inOutage(tenant: TenantFixture, random: SeededRandom): Promise<void> {
    const { run, tally } = this.#world
    const plan = this.#plan('in an outage', random, { tenant, operation: 'outage' })
    const { stream, answer } = this.#write(plan, random)
    const outcome = await answer.outcome()
    await this.#finish(stream)
    run.end(1)
    const unsent = outcome.kind === 'error' && outcome.status === 503
    tally.addLater(keyOf(tenant.id, 'outage'), () =>
      expectedOfStream([unsent ? 0 : 1, 1], leastOf(plan, stream, outcome)),
    )
    if (outcome.kind === 'error' && outcome.status !== 502 && outcome.status !== 503)
      run.violation(`an outage ends with ${JSON.stringify(outcome)}: ${describePlan(plan)}`)
  }

  /** A call whose deployment gives it up. */
  async #dying(tenant: TenantFixture, random: SeededRandom): Promise<void> {
    const { run, tally } = this.#world
    enter(tenant)
    const death = {
      when: random.chance(0.3) ? ('head' as const) : random.below(1_000) / 1_000,
      how: random.pick(['reset', 'end'] as const),
    }
    const plan = this.#plan('death', random, { tenant, operation: 'dying' }, { death })
    const { stream, answer } = this.#write(plan, random)
    const outcome = await answer.outcome()
    await this.#finish(stream)
    leave(tenant)
    run.end(1)
    tally.addLater(keyOf(tenant.id, 'dying'), () =>
      expectedOfStream([1, 1], leastOf(plan, stream, outcome)),
    )
    if (outcome.kind === 'error' ? outcome.status !== 502 : outcome.kind === 'answer')
      run.violation(`a death ends with ${JSON.stringify(outcome)}: ${describePlan(plan)}`)
  }

  /** The client resets somewhere in its request, while it waits, or somewhere in the answer. */
  async #reset(kind: string, tenant: TenantFixture, random: SeededRandom): Promise<void> {
    const { run, tally } = this.#world
    const plan = this.#plan(kind, random, { tenant, operation: 'aborted' })
    const part = kind === 'reset of a request' ? random.below(1_000) / 1_000 : 1
    const { stream, written, answer } = this.#write(plan, random, part)
    await this.#untilReset(kind, plan, { stream, written, random })
    stream.reset(random.pick([8, 8, 0, 2]))
    const outcome = await answer.outcome()
    const lives = await this.#peer.barrier()
    run.end(1)
    tally.addLater(keyOf(tenant.id, 'aborted'), () => expectedOfReset(plan, stream, outcome))
    if (!lives) run.violation(`the connection ends with a reset of a stream: ${describePlan(plan)}`)
  }

  async #untilReset(
    kind: string,
    plan: CallPlan,
    {
      stream,
      written,
      random,
    }: { stream: FrameStream; written: Promise<void>; random: SeededRandom },
  ): Promise<void> {
    const pause = random.pick(['none', 'turn', 'turn', 'trip'])
    if (kind !== 'reset of a call' || pause !== 'none') await written
    if (kind === 'reset of an answer') {
      const octets = random.below(plan.answer.size + 1)
      await stream.until(
        () => stream.over || (stream.status !== 0 && stream.dataReceived >= octets),
      )
    }
    if (pause === 'turn') await new Promise(resolve => setImmediate(resolve))
    if (pause === 'trip') await this.#peer.barrier()
  }

  /** The client leaves with calls of many tenants under way, in all their phases. */
  async #abandon(random: SeededRandom): Promise<void> {
    const { run, tally } = this.#world
    this.#doing.add('abandoned')
    const calls = Array.from({ length: random.between(1, 12) }, () => {
      const tenant = this.#tenant(random)
      const plan = this.#plan('abandoned', random, { tenant, operation: 'aborted' })
      return { plan, ...this.#write(plan, random, random.chance(0.3) ? 0.5 : 1) }
    })
    const first = calls[random.below(calls.length)] as (typeof calls)[number]
    const pause = random.pick(['none', 'turn', 'trip', 'answer'])
    if (pause === 'turn') await new Promise(resolve => setImmediate(resolve))
    if (pause === 'trip') await this.#peer.barrier()
    if (pause === 'answer')
      await first.stream.until(
        () => first.stream.received > 0 || first.plan.body.framing !== 'none',
      )
    this.#peer.abort(random.pick(['reset', 'end']))
    for (const { plan, stream, headOctets } of calls) {
      run.end(1)
      tally.addLater(keyOf(plan.tenant.id, 'aborted'), () =>
        expectedOfAbandonedStream(plan, stream, headOctets),
      )
    }
  }
}

/** Now and then a client that is slow to read. */
function readSlowly(peer: FramePeer, random: SeededRandom): void {
  const { socket } = peer
  socket.on('data', (chunk: Buffer) => {
    if (chunk.length < 4_000 || !random.chance(0.05)) return
    socket.pause()
    setTimeout(() => socket.resume(), random.between(1, 10))
  })
}

function trailersOf(random: SeededRandom): PlanChanges {
  if (!random.chance(0.15)) return {}
  const size = random.below(5_000)
  return {
    method: 'POST',
    status: 200,
    body: { framing: 'chunked', size, chunk: random.between(100, 9_000) },
    trailers: random.chance(0.7),
    answer: { framing: 'chunked', size, chunk: random.between(100, 9_000) },
    answerTrailers: random.chance(0.7),
  }
}

/** More than the kernel keeps for a client that does not read. */
function download(random: SeededRandom): PlanChanges {
  const framing = random.pick(['length', 'chunked', 'close'] as const)
  const size = random.between(1_000_000, 3_000_000)
  const answer = { framing, size, chunk: random.pick([9_000, 70_000, 500_000]) }
  return { method: 'GET', answer, status: 200 }
}

/** Of a call that its deployment gave up, at least what came to it was read by the proxy. */
function leastOf(
  plan: CallPlan,
  { sent, received, uncertain }: FrameStream,
  { kind }: Outcome,
): { sent: number; received: number; uncertain: number } {
  return { sent, received, uncertain: kind === 'answer' ? uncertain : sent - plan.bodySeen }
}

/** A whole answer was whole usage; what nobody has seen need not be usage. */
function expectedOfReset(
  plan: CallPlan,
  stream: FrameStream,
  { kind }: Outcome,
): ReturnType<typeof expectedOfStream> {
  const least = kind === 'answer' || plan.seen ? 1 : 0
  return expectedOfStream([least, 1], stream)
}
