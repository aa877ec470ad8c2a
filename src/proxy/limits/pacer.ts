/** How much of a bandwidth may pass at once, so that small messages are never paced. */
const BANDWIDTH_BURST_MS = 100

/** Holds bytes to a bandwidth by saying how long the source of them should rest. */
export class Pacer {
  #bytesPerMs: number
  #paidUntil = 0

  /** Infinity for no limit. */
  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1_000
  }

  get limited(): boolean {
    return this.#bytesPerMs !== Number.POSITIVE_INFINITY
  }

  idle(now: number): boolean {
    return this.#paidUntil <= now - BANDWIDTH_BURST_MS
  }

  /** Adds bytes that have passed; returns for how many ms no more should be read. */
  spend(bytes: number, now: number): number {
    if (!this.limited) return 0
    this.#paidUntil = Math.max(this.#paidUntil, now - BANDWIDTH_BURST_MS) + bytes / this.#bytesPerMs
    return Math.max(0, this.#paidUntil - now)
  }

  /** For how many ms no more should pass: 0 where nothing is owed. */
  debt(now: number): number {
    return this.limited ? Math.max(0, this.#paidUntil - now) : 0
  }

  /** How many ms of the bandwidth so many bytes take. */
  costMs(bytes: number): number {
    return bytes / this.#bytesPerMs
  }

  /** Another bandwidth from now on. What is owed is bytes: with more of it they are paid sooner. */
  change(bytesPerSecond: number, now: number): void {
    const owed = this.debt(now) * this.#bytesPerMs
    this.#bytesPerMs = bytesPerSecond / 1_000
    if (owed > 0) this.#paidUntil = now + owed / this.#bytesPerMs
  }
}
