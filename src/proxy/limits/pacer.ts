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

  idle(now: number): boolean {
    return this.#paidUntil <= now - BANDWIDTH_BURST_MS
  }

  /** Adds bytes that have passed; returns for how many ms no more should be read. */
  spend(bytes: number, now: number): number {
    if (this.#bytesPerMs === Number.POSITIVE_INFINITY) return 0
    this.#paidUntil = Math.max(this.#paidUntil, now - BANDWIDTH_BURST_MS) + bytes / this.#bytesPerMs
    return Math.max(0, this.#paidUntil - now)
  }

  /** Another bandwidth for the bytes that follow. */
  change(bytesPerSecond: number): void {
    this.#bytesPerMs = bytesPerSecond / 1_000
  }
}
