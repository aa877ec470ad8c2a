/** What the noisy tenant does, or somebody at its address. Each kind is bounded in rate and in connections. */

export interface NoiseTarget {
  /** Of the proxy, on 127.0.0.1; the second is its listener with TLS. */
  readonly port: number
  readonly tlsPort: number
  /** Of the noisy tenant: its key, the address that it calls from, and its name. */
  readonly key: string
  readonly source: string
  readonly host: string
  readonly badToken: string
}

/** What became of it: statuses, failures, bytes, each with its number. */
export type NoiseCounts = Readonly<Record<string, number>>

export interface RunningNoise {
  /** Fulfilled when nothing of it is left. */
  stop(): Promise<NoiseCounts>
}

export type Noise = (target: NoiseTarget) => RunningNoise

export class Counts {
  readonly #counts = new Map<string, number>()

  add(what: string, number = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + number)
  }

  get all(): NoiseCounts {
    return Object.fromEntries([...this.#counts].toSorted(([a], [b]) => (a < b ? -1 : 1)))
  }
}
