/**
 * One connection of a client and what it does there, chosen at random step by step. What a visit chooses depends on its
 * own random numbers alone; only what meets an outage depends on time.
 */
import type { SeededRandom } from '../seeded-random.ts'
import type { Outcome } from './answer-reader.ts'
import {
  type CallPlan,
  type Death,
  describePlan,
  type Operation,
  type PlanChanges,
  planCall,
  planStream,
  randomSize,
  requestOf,
  streamBytes,
} from './call-plan.ts'
import { ClientConnection } from './client-connection.ts'
import { GARBAGE, proofOf, refusalOf, type Way } from './places.ts'
import {
  expectedOfAborted,
  expectedOfDying,
  expectedOfOutage,
  keyOf,
  type Written,
} from './tally.ts'
import { enter, leave, type TenantFixture } from './tenants.ts'
import type { World } from './world.ts'

/** Of a hundred visits so many exchanges each, on average and at most. */
const STEPS = { few: 4, many: 25 }

/** The longest method here, a blank and the first of the target. */
const DETECTED_BYTES = 'DELETE /'.length

const STEP_WEIGHTS = {
  call: 460,
  'slow download': 1,
  continued: 30,
  pipeline: 90,
  refusal: 80,
  death: 70,
  'deaths in a pipeline': 10,
  'http/1.0': 20,
  upgrade: 40,
  'death of an upgrade': 10,
  'abort of an upgrade': 10,
  'abort of a request': 40,
  'abort of an answer': 40,
  'abort of a pipeline': 20,
  garbage: 30,
} as const
type Step = keyof typeof STEP_WEIGHTS

export class Visit {
  readonly #world: World
  readonly #random: SeededRandom
  readonly #way: Way
  readonly #connection: ClientConnection
  #answered = 0
  #doing: Step | 'closing' = 'call'

  private constructor(world: World, random: SeededRandom, way: Way, connection: ClientConnection) {
    this.#world = world
    this.#random = random
    this.#way = way
    this.#connection = connection
  }

  /** Makes a connection, uses it, and closes it. */
  static async make(world: World, random: SeededRandom): Promise<void> {
    const way = world.callWay(random)
    const { run } = world
    const connection = await ClientConnection.open(way.place, random, text => run.violation(text))
    const visit = new Visit(world, random, way, connection)
    const describe = (): string => `${visit.#doing} on ${way.listener}: ${connection.describe()}`
    run.underWay.add(describe)
    await visit.#use()
    run.underWay.delete(describe)
  }

  async #use(): Promise<void> {
    const random = this.#random
    const steps = random.between(1, random.chance(0.8) ? STEPS.few : STEPS.many)
    for (let step = 0; step < steps && !this.#world.run.over; step++) {
      const goesOn = await this.#step()
      if (!goesOn || !this.#connection.open) break
    }
    this.#doing = 'closing'
    await this.#connection.close()
  }

  /** False where the connection is used up. */
  async #step(): Promise<boolean> {
    const random = this.#random
    const step: Step = random.weighted(STEP_WEIGHTS)
    const tenant = this.#tenant()
    this.#doing = step
    // Where an outage comes on top, nobody can tell how a call will end.
    if (tenant.phase !== 'steady') return this.#inOutage(tenant)
    // HTTP/2 has no upgrades.
    if (tenant.http2 && step.includes('upgrade')) return this.#whole('call', [tenant])
    switch (step) {
      case 'call':
        return this.#whole(step, [tenant])
      case 'slow download':
        return this.#slowDownload(tenant)
      case 'http/1.0':
        return this.#whole(step, [tenant], { minor: 0 })
      case 'pipeline':
        return this.#whole(step, [tenant, ...this.#tenants(random.between(1, 7))])
      case 'continued':
        return this.#continued(tenant)
      case 'refusal':
        return this.#refused(tenant)
      case 'garbage':
        return this.#answered === 0 ? this.#whole('call', [tenant]) : this.#garbage(tenant)
      case 'death':
        return this.#dying(step, tenant, 1)
      case 'deaths in a pipeline':
        return this.#dying(step, tenant, random.between(2, 5))
      case 'upgrade':
        return this.#upgraded(tenant)
      case 'death of an upgrade':
        return this.#brokenUpgrade(step, tenant, 'dying')
      case 'abort of an upgrade':
        return this.#brokenUpgrade(step, tenant, 'aborted')
      case 'abort of a request':
        return this.#abortedRequest(tenant)
      case 'abort of an answer':
        return this.#abortedAnswer(tenant)
      case 'abort of a pipeline':
        return this.#abortedPipeline(tenant)
    }
  }

  /** Whoever else can be on this connection now. */
  #tenants(count: number): TenantFixture[] {
    return Array.from({ length: count }, () => this.#tenant()).filter(
      ({ phase }) => phase === 'steady',
    )
  }

  #tenant(): TenantFixture {
    return this.#way.tenant ?? this.#random.pick(this.#world.tenants)
  }

  #plan(
    kind: string,
    tenant: TenantFixture,
    operation: Operation,
    changes?: PlanChanges,
  ): CallPlan {
    const { run } = this.#world
    return run.begin(
      planCall(this.#random, { nonce: run.nonce(), tenant, operation }, changes),
      kind,
    )
  }

  #request(plan: CallPlan): { head: Buffer; body: Buffer; all: Buffer; written: Written } {
    const { head, body } = requestOf(plan, proofOf(this.#random, this.#way, plan.tenant))
    const all = Buffer.concat([head, body])
    return { head, body, all, written: { headBytes: head.length, bytes: all.length } }
  }

  /** Calls that end as planned, one after the other or all at once; each of a tenant of its own. */
  async #whole(
    kind: string,
    tenants: readonly TenantFixture[],
    changes: PlanChanges = {},
  ): Promise<boolean> {
    for (const tenant of tenants) enter(tenant)
    const plans = tenants.map(tenant => this.#plan(kind, tenant, 'normal', changes))
    const requests = plans.map(plan => this.#request(plan).all)
    const outcomes = plans.map(plan => this.#connection.reader.expect(plan))
    await this.#connection.write(Buffer.concat(requests))
    let last = changes.minor === 0
    // One that its deployment turned away may end the connection: the rest of its body has no reader.
    let refusedAsLast = false
    for (const [index, outcome] of outcomes.entries()) {
      const result = await outcome
      const plan = plans[index] as CallPlan
      last ||= result.last
      const unread = result.kind === 'cut' && result.received === 0 && !plan.seen
      if (refusedAsLast && unread) this.#endUnread(plan)
      else this.#endWhole(plan, (requests[index] as Buffer).length, result)
      refusedAsLast ||= result.last && result.kind === 'error'
    }
    return !last
  }

  /** Of a call behind the last one of its connection: nobody has read it, and nobody may count it. */
  #endUnread(plan: CallPlan): void {
    leave(plan.tenant)
    this.#world.run.end(1)
  }

  /** Of a call that must have ended as planned. */
  #endWhole(plan: CallPlan, sent: number, outcome: Outcome): void {
    const { run, tally } = this.#world
    leave(plan.tenant)
    run.end(1)
    if (outcome.kind === 'error' && plan.tenant.http2) {
      run.suspect(plan)
      tally.addLater(keyOf(plan.tenant.id, plan.operation), () => ({
        calls: [0, 1],
        connections: [0, 0],
        ingress: [0, sent],
        egress: [0, outcome.received],
      }))
      return
    }
    if (outcome.kind !== 'answer') {
      run.violation(
        `the call ${plan.nonce}, behind ${this.#answered} others on ${this.#way.listener}, ends with ${JSON.stringify(outcome)}: ${describePlan(plan)}; ${this.#connection.describe()}`,
      )
      return
    }
    this.#answered++
    run.plans.delete(plan.nonce)
    tally.add(keyOf(plan.tenant.id, plan.operation), {
      calls: 1,
      connections: 0,
      ingress: sent,
      egress: outcome.received,
    })
  }

  /** More than the kernel keeps for a client that does not read: the proxy has to hold its deployment back. */
  async #slowDownload(tenant: TenantFixture): Promise<boolean> {
    const size = this.#random.between(1_000_000, 4_000_000)
    const framing = this.#random.pick(['length', 'chunked', 'close'] as const)
    const answer = { framing, size, chunk: this.#random.pick([9_000, 70_000, 500_000]) }
    const { socket } = this.#connection
    const pause = this.#random.between(10, 60)
    this.#connection.onReceived(1, () => {
      socket.pause()
      setTimeout(() => socket.resume(), pause)
    })
    return this.#whole('slow download', [tenant], { method: 'GET', answer, status: 200 })
  }

  /** A client that waits for 100 before it sends its body. */
  async #continued(tenant: TenantFixture): Promise<boolean> {
    enter(tenant)
    const size = randomSize(this.#random) + 1
    const plan = this.#plan('continued', tenant, 'normal', {
      method: 'POST',
      body: { framing: this.#random.pick(['length', 'chunked']), size, chunk: 1_000 },
      expectsContinue: true,
    })
    const { head, body, all } = this.#request(plan)
    const { promise: told, resolve } = Promise.withResolvers<void>()
    const outcome = this.#connection.reader.expect(plan, { interim: resolve })
    await this.#connection.write(head)
    await Promise.race([told, outcome])
    await this.#connection.write(body)
    const result = await outcome
    this.#endWhole(plan, all.length, result)
    return !result.last
  }

  /** A call whose proof is none, or two that contradict each other. */
  async #refused(own: TenantFixture): Promise<boolean> {
    const { run, tally, tenants } = this.#world
    const other = this.#random.pick(tenants.filter(tenant => tenant !== own))
    const refusal = refusalOf(this.#random, this.#way, { own, other })
    const plan = this.#plan(`refused: ${refusal.code}`, own, 'refused', {
      method: this.#random.pick(['GET', 'POST']),
    })
    const { head, body } = requestOf(plan, refusal)
    const outcome = this.#connection.reader.expect(plan)
    await this.#connection.write(Buffer.concat([head, body]))
    const result = await outcome
    run.end(1)
    tally.rejected(refusal.code, this.#way.listener)
    if (result.code !== refusal.code)
      run.violation(
        `instead of ${refusal.code} there is ${JSON.stringify(result)} to ${head.toString('latin1')}`,
      )
    // The rest of a longer body is not waited for.
    return !result.last && body.length < 60_000
  }

  /** Behind it there is a call that must never become one. */
  async #garbage(tenant: TenantFixture): Promise<boolean> {
    const { run, tally } = this.#world
    const { code, bytes } = this.#random.pick(GARBAGE)
    const plan = this.#plan(`refused: ${code}`, tenant, 'refused', { method: 'GET' })
    const outcome = this.#connection.reader.expect(plan)
    await this.#connection.write(
      Buffer.concat([Buffer.from(bytes, 'latin1'), this.#request(plan).all]),
    )
    const result = await outcome
    run.end(1)
    tally.rejected(code, this.#way.listener)
    if (result.code !== code || !result.last)
      run.violation(
        `instead of ${code} there is ${JSON.stringify(result)} to ${JSON.stringify(bytes)}`,
      )
    return false
  }

  /** A call to a deployment that is down, or nearly: it may end in any way that is honest. */
  async #inOutage(tenant: TenantFixture): Promise<boolean> {
    const { run, tally } = this.#world
    const plan = this.#plan('in an outage', tenant, 'outage')
    const { all, written } = this.#request(plan)
    const outcome = this.#connection.reader.expect(plan)
    await this.#connection.write(all)
    const result = await outcome
    run.end(1)
    tally.addLater(keyOf(tenant.id, 'outage'), () => expectedOfOutage(plan, written, result))
    if (result.kind === 'error' && result.status !== 502 && result.status !== 503)
      run.violation(`an outage ends with ${JSON.stringify(result)}: ${describePlan(plan)}`)
    return result.kind !== 'cut' && !result.last
  }

  /** The last of `count` calls at once is the death of its deployment’s connection. */
  async #dying(kind: string, tenant: TenantFixture, count: number): Promise<boolean> {
    const { run, tally } = this.#world
    const plans = Array.from({ length: count }, (_, index) => {
      enter(tenant)
      return this.#plan(kind, tenant, 'dying', index < count - 1 ? {} : { death: this.#death() })
    })
    const requests = plans.map(plan => this.#request(plan))
    const outcomes = plans.map(plan => this.#connection.reader.expect(plan))
    await this.#connection.write(Buffer.concat(requests.map(({ all }) => all)))
    const results = await Promise.all(outcomes)
    for (const [index, plan] of plans.entries()) {
      leave(tenant)
      const result = results[index] as Outcome
      const { written } = requests[index] as { written: Written }
      tally.addLater(keyOf(tenant.id, 'dying'), () => expectedOfDying(plan, written, result))
      if (
        result.kind === 'error'
          ? result.status !== 502
          : result.kind === 'answer' && plan.death !== undefined
      )
        run.violation(`a death ends with ${JSON.stringify(result)}: ${describePlan(plan)}`)
    }
    run.end(count)
    return results.every(({ kind, last }) => kind !== 'cut' && !last)
  }

  #death(): Death {
    return {
      when: this.#random.chance(0.3) ? 'head' : this.#random.below(1_000) / 1_000,
      how: this.#random.pick(['reset', 'end']),
    }
  }

  /** The client leaves somewhere in its own request. */
  async #abortedRequest(tenant: TenantFixture): Promise<boolean> {
    const plan = this.#plan('abort of a request', tenant, 'aborted')
    const { all, written } = this.#request(plan)
    // Less than the begin of a request line, and nothing before it, is a tunnel where the protocol is detected.
    const least = this.#connection.sent === 0 ? DETECTED_BYTES : 0
    const cut = this.#random.between(least, all.length - 1)
    const outcome = this.#connection.reader.expect(plan)
    await this.#connection.write(all.subarray(0, cut))
    if (this.#random.chance(0.5)) await new Promise(resolve => setImmediate(resolve))
    this.#abort()
    return this.#endAborted(plan, { ...written, bytes: cut }, outcome)
  }

  /** The client leaves somewhere in the answer, or while it waits for one. */
  async #abortedAnswer(tenant: TenantFixture): Promise<boolean> {
    const plan = this.#plan('abort of an answer', tenant, 'aborted')
    const { all, written } = this.#request(plan)
    const outcome = this.#connection.reader.expect(plan)
    const bytes = this.#random.below(plan.answer.size + 200)
    if (bytes > 0) this.#connection.onReceived(bytes, () => this.#abort())
    await this.#connection.write(all)
    // The whole answer may come in one piece, or be shorter.
    if (bytes > 0) await outcome
    this.#abort()
    return this.#endAborted(plan, written, outcome)
  }

  async #abortedPipeline(tenant: TenantFixture): Promise<boolean> {
    const count = this.#random.between(2, 8)
    const plans = Array.from({ length: count }, () =>
      this.#plan('abort of a pipeline', tenant, 'aborted'),
    )
    const requests = plans.map(plan => this.#request(plan))
    const outcomes = plans.map(plan => this.#connection.reader.expect(plan))
    await this.#connection.write(Buffer.concat(requests.map(({ all }) => all)))
    await outcomes[this.#random.below(count - 1)]
    this.#abort()
    for (const [index, plan] of plans.entries())
      await this.#endAborted(
        plan,
        (requests[index] as { written: Written }).written,
        outcomes[index] as Promise<Outcome>,
      )
    return false
  }

  #abort(): void {
    this.#connection.abort(this.#random.pick(['reset', 'end']))
  }

  async #endAborted(plan: CallPlan, written: Written, outcome: Promise<Outcome>): Promise<false> {
    const { run, tally } = this.#world
    const result = await outcome
    run.end(1)
    tally.addLater(keyOf(plan.tenant.id, 'aborted'), () => expectedOfAborted(plan, written, result))
    return false
  }

  /** An upgrade whose streams end whole, in any order. */
  async #upgraded(tenant: TenantFixture): Promise<boolean> {
    enter(tenant)
    const plan = this.#plan('upgrade', tenant, 'upgraded', this.#streamChanges())
    const request = this.#request(plan)
    const stream = streamBytes(plan)
    const closed = Promise.withResolvers<void>()
    plan.streamClosed = () => closed.resolve()
    const connection = this.#connection
    const upgraded = Promise.withResolvers<void>()
    const streamed = Promise.withResolvers<void>()
    const outcome = connection.reader.expect(plan, {
      upgraded: upgraded.resolve,
      streamed: streamed.resolve,
    })
    await connection.write(request.head)
    if (this.#random.chance(0.7)) await Promise.race([upgraded.promise, outcome])
    await connection.write(stream)
    if (plan.stream?.clientEnds === 'last') await Promise.race([streamed.promise, outcome])
    await connection.end()
    const result = await outcome
    if (result.kind === 'answer') await closed.promise
    this.#endWhole(plan, request.head.length + stream.length, result)
    return false
  }

  /** An upgrade that its deployment or its client breaks. */
  async #brokenUpgrade(
    kind: string,
    tenant: TenantFixture,
    operation: 'dying' | 'aborted',
  ): Promise<boolean> {
    const { run, tally } = this.#world
    if (operation === 'dying') enter(tenant)
    const death = operation === 'dying' ? { death: this.#death() } : {}
    const plan = this.#plan(kind, tenant, operation, { ...this.#streamChanges(), ...death })
    const { head } = this.#request(plan)
    const stream = streamBytes(plan)
    const connection = this.#connection
    const { promise: upgraded, resolve } = Promise.withResolvers<void>()
    const outcome = connection.reader.expect(plan, { upgraded: resolve })
    const before = connection.sent
    await connection.write(head)
    // A call that is not upgraded is one of HTTP still, and its connection no place for a stream.
    if (await Promise.race([upgraded.then(() => true), outcome.then(() => false)]))
      await connection.write(
        operation === 'dying' ? stream : stream.subarray(0, this.#random.below(stream.length + 1)),
      )
    if (operation === 'aborted') this.#abort()
    const result = await outcome
    const written = { headBytes: head.length, bytes: connection.sent - before }
    if (operation === 'aborted') return this.#endAborted(plan, written, outcome)
    leave(tenant)
    run.end(1)
    tally.addLater(keyOf(tenant.id, 'dying'), () => expectedOfDying(plan, written, result))
    return false
  }

  #streamChanges(): PlanChanges {
    return { method: 'GET', stream: planStream(this.#random) }
  }
}
