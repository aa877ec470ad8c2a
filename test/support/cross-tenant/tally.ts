/** What the clients know that the ledger must say: exactly where a call ended as planned, within bounds where not. */

import type { Outcome } from './answer-reader.ts'
import type { CallPlan, Operation } from './call-plan.ts'

/** Both included. */
export type Bounds = readonly [least: number, most: number]

export interface Expected {
  readonly calls: Bounds
  readonly connections: Bounds
  readonly ingress: Bounds
  readonly egress: Bounds
}

export interface Counted {
  readonly calls: number
  readonly connections: number
  readonly ingress: number
  readonly egress: number
}

const NOTHING: Bounds = [0, 0]

/**
 * By how much the proxy may send more of one answer than its deployment has sent: the fields that it adds, its own error
 * instead, and where it frames anew 12 bytes for each piece that a read gives it. A read is smaller than 1,000 bytes only
 * where a write of the deployment ends, and it writes an answer in 5 pieces at most.
 */
export function mostEgress(answerSent: number): number {
  return 1_024 + answerSent + Math.ceil(answerSent / 1_000) * 12
}

export class Tally {
  readonly #exact = new Map<string, Counted>()
  readonly #later: { key: string; expected: () => Expected }[] = []
  readonly #rejected = new Map<string, number>()

  /** Calls that ended as planned; `key` as `keyOf` makes it. */
  add(key: string, { calls, connections, ingress, egress }: Counted): void {
    const former = this.#exact.get(key)
    this.#exact.set(key, {
      calls: (former?.calls ?? 0) + calls,
      connections: (former?.connections ?? 0) + connections,
      ingress: (former?.ingress ?? 0) + ingress,
      egress: (former?.egress ?? 0) + egress,
    })
  }

  /** A call of which more is known when all is over. */
  addLater(key: string, expected: () => Expected): void {
    this.#later.push({ key, expected })
  }

  rejected(reason: string, listener: string): void {
    const key = `${reason} ${listener}`
    this.#rejected.set(key, (this.#rejected.get(key) ?? 0) + 1)
  }

  /** Planned refusals, by reason and listener. */
  get rejections(): ReadonlyMap<string, number> {
    return this.#rejected
  }

  /** Sums by key. Asked once, when all is over. */
  expected(): Map<string, Expected> {
    const all = new Map<string, Expected>()
    for (const [key, { calls, connections, ingress, egress }] of this.#exact) {
      all.set(key, {
        calls: [calls, calls],
        connections: [connections, connections],
        ingress: [ingress, ingress],
        egress: [egress, egress],
      })
    }
    for (const { key, expected } of this.#later) all.set(key, plus(all.get(key), expected()))
    return all
  }
}

/** Connections are compared for tunnels only: a call's connection is counted in a row of its own. */
export function keyOf(tenant: string, operation: Operation | 'tunnel', listener = ''): string {
  return operation === 'tunnel' ? `${tenant} tunnel ${listener}` : `${tenant} ${operation}`
}

function plus(a: Expected | undefined, b: Expected): Expected {
  if (a === undefined) return b
  const sum = (x: Bounds, y: Bounds): Bounds => [x[0] + y[0], x[1] + y[1]]
  return {
    calls: sum(a.calls, b.calls),
    connections: sum(a.connections, b.connections),
    ingress: sum(a.ingress, b.ingress),
    egress: sum(a.egress, b.egress),
  }
}

/** A request as it was written. */
export interface Written {
  readonly headBytes: number
  /** Of head and body. */
  readonly bytes: number
}

/** A call whose deployment was made to die. It had seen it, and the client stayed: so it is one call. */
export function expectedOfDying(plan: CallPlan, written: Written, outcome: Outcome): Expected {
  const { received, kind } = outcome
  const whole = plan.death?.when !== 'head' && plan.stream === undefined
  return {
    calls: [1, 1],
    connections: NOTHING,
    ingress: [whole ? written.bytes : written.headBytes + plan.bodySeen, written.bytes],
    egress: [received, kind === 'error' ? received : mostEgress(plan.answerSent)],
  }
}

/** A call whose client left: it is usage if its deployment has seen it, and cannot be without a whole head. */
export function expectedOfAborted(plan: CallPlan, written: Written, outcome: Outcome): Expected {
  const { received, kind } = outcome
  const possible = written.bytes >= written.headBytes
  const least = kind === 'answer' || plan.seen ? 1 : 0
  const leastIngress = kind === 'answer' ? written.bytes : written.headBytes + plan.bodySeen
  return {
    calls: [least, possible ? 1 : 0],
    connections: NOTHING,
    ingress: [least * leastIngress, possible ? written.bytes : 0],
    egress: [kind === 'error' ? 0 : received, possible ? mostEgress(plan.answerSent) : 0],
  }
}

/** A call to a deployment that is down, goes down or comes back. 503 says that it was not sent, unless it was a repetition. */
export function expectedOfOutage(plan: CallPlan, written: Written, outcome: Outcome): Expected {
  const { received, kind, status } = outcome
  const refused = kind === 'error' && status === 503
  return {
    calls: [refused ? 0 : 1, 1],
    connections: NOTHING,
    ingress: [refused ? 0 : kind === 'answer' ? written.bytes : written.headBytes, written.bytes],
    egress: [refused ? 0 : received, kind === 'cut' ? mostEgress(plan.answerSent) : received],
  }
}

/** A tunnel that one of its sides has broken. */
export function expectedOfBrokenTunnel(plan: CallPlan, sent: number, received: number): Expected {
  const seen = plan.seen ? 1 : 0
  return {
    calls: NOTHING,
    connections: [seen, 1],
    ingress: [plan.bodySeen, sent],
    egress: [received, plan.answerSent],
  }
}

/**
 * A call on a stream of a connection that lived on until the proxy had seen all of it: where it is usage, all that came is
 * billed, and all that was sent but what the proxy may have got behind the end of the stream.
 */
export function expectedOfStream(
  calls: Bounds,
  stream: { readonly sent: number; readonly received: number; readonly uncertain: number },
): Expected {
  return {
    calls,
    connections: NOTHING,
    ingress: [calls[0] * (stream.sent - stream.uncertain), calls[1] * stream.sent],
    egress: [calls[0] * stream.received, calls[1] * stream.received],
  }
}

/** A call on a stream of a connection that its client has left. */
export function expectedOfAbandonedStream(
  plan: CallPlan,
  stream: { readonly sent: number; readonly received: number },
  headOctets: number,
): Expected {
  const least = plan.seen ? 1 : 0
  return {
    calls: [least, 1],
    connections: NOTHING,
    ingress: [least * (headOctets + plan.bodySeen), stream.sent],
    // An error of the proxy is no usage where nobody has seen the call.
    egress: [least * stream.received, stream.received + mostStreamEgress(plan.answerSent)],
  }
}

/** Frames may be as small as what the deployment sends at a time, and each has a header of nine octets. */
function mostStreamEgress(answerSent: number): number {
  return 1_024 + 10 * answerSent
}
