/** What clients and deployments count on their own sides, to hold the ledger against. */

/** What passed for one tenant by one operation and listener. Bytes are those inside TLS. */
export interface Count {
  /** Calls whose answer the client has to the last byte; of an upgrade, its head. */
  received: number
  /** Bytes that the client gave to its socket; not all of them need have left. */
  sent: number
  /** Bytes of requests that were answered in full: those have arrived. */
  answered: number
  /** Bytes that came to the client for calls that the deployment answered. */
  got: number
  /** Calls that the deployment began to serve. */
  served: number
  /** Bytes of streams, without the head of an upgrade, that came to the deployment. */
  took: number
  /** Bytes that the deployment gave to its socket. */
  gave: number
}

export interface LedgerCount {
  readonly calls: number
  readonly ingress: number
  readonly egress: number
}

/** What the proxy adds to the head of an answer is less, and the headers of frames where it frames an answer anew. */
const ADDED_HEAD_BYTES = 1_024
const ADDED_FRAME_BYTES = 3_072
const NOTHING: LedgerCount = { calls: 0, ingress: 0, egress: 0 }

export function keyOf(tenant: string, operation: string, listener: string): string {
  return `${tenant} ${operation} ${listener}`
}

export class Counts {
  readonly #all = new Map<string, Count>()
  /** Answers that no deployment gave, by status. */
  readonly refused = new Map<number, number>()

  at(key: string): Count {
    let count = this.#all.get(key)
    if (count === undefined) {
      count = { received: 0, sent: 0, answered: 0, got: 0, served: 0, took: 0, gave: 0 }
      this.#all.set(key, count)
    }
    return count
  }

  refuse(status: number): void {
    this.refused.set(status, (this.refused.get(status) ?? 0) + 1)
  }

  /** Of all keys. */
  get sum(): Count {
    const sum: Count = { received: 0, sent: 0, answered: 0, got: 0, served: 0, took: 0, gave: 0 }
    for (const count of this.#all.values())
      for (const name of Object.keys(sum) as (keyof Count)[]) sum[name] += count[name]
    return sum
  }

  /** One line for each number of the ledger that contradicts what was counted, however the calls ended. */
  contradictions(ledger: ReadonlyMap<string, LedgerCount>): string[] {
    return this.#compare(ledger, (key, count) => ({
      calls: [count.received, count.served],
      ingress: [Math.max(count.answered, count.took), count.sent],
      egress: [count.got, count.gave + addedBytes(key) * count.served],
    }))
  }

  /** The same where all calls have ended as they should: everything is equal. */
  differences(ledger: ReadonlyMap<string, LedgerCount>): string[] {
    return this.#compare(ledger, (_, { received, sent, got, served }) => ({
      calls: [Math.max(received, served), Math.min(received, served)],
      ingress: [sent, sent],
      egress: [got, got],
    }))
  }

  #compare(
    ledger: ReadonlyMap<string, LedgerCount>,
    bounds: (key: string, count: Count) => Record<keyof LedgerCount, [least: number, most: number]>,
  ): string[] {
    return [...new Set([...ledger.keys(), ...this.#all.keys()])].toSorted().flatMap(key => {
      const counted = ledger.get(key) ?? NOTHING
      return Object.entries(bounds(key, this.at(key)))
        .filter(([name, [least, most]]) => !within(counted[name as keyof LedgerCount], least, most))
        .map(
          ([name, range]) =>
            `${key}: ${name} ${counted[name as keyof LedgerCount]} is not in ${range.join(' … ')}`,
        )
    })
  }
}

function within(value: number, least: number, most: number): boolean {
  return least <= value && value <= most
}

function addedBytes(key: string): number {
  if (key.includes(' tunnel ')) return 0
  return key.includes(' stream') ? ADDED_HEAD_BYTES + ADDED_FRAME_BYTES : ADDED_HEAD_BYTES
}
