/** Who writes which journal, as far as anybody says: our workers, and those of a proxy that has handed over to this one. */
export class JournalClaims {
  /** By the number of the worker. */
  readonly #ours = new Map<number, Set<string>>()
  readonly #foreign = new Set<string>()

  /** The worker with that number says which journal is its own. */
  claim(worker: number, producer: string): void {
    const claims = this.#ours.get(worker) ?? new Set()
    this.#ours.set(worker, claims.add(producer))
  }

  /** The journals of a worker. */
  of(worker: number): readonly string[] {
    return [...(this.#ours.get(worker) ?? [])]
  }

  /** Of all those who write, ours and others. */
  get all(): readonly string[] {
    return [...[...this.#ours.values()].flatMap(claims => [...claims]), ...this.#foreign]
  }

  /** The worker is gone. */
  forget(worker: number): void {
    this.#ours.delete(worker)
  }

  /** Journals that others still write, who will say when they are through. */
  follow(producers: Iterable<string>): void {
    for (const producer of producers) this.#foreign.add(producer)
  }

  /** One of those is written no more. False where nobody has spoken of it. */
  foreignGone(producer: string): boolean {
    return this.#foreign.delete(producer)
  }

  /** Nobody will say so any more. */
  forgetForeign(): void {
    this.#foreign.clear()
  }

  /** Whether one of our workers writes it. */
  isOurs(producer: string): boolean {
    return [...this.#ours.values()].some(claims => claims.has(producer))
  }

  /** Whether anybody does. */
  has(producer: string): boolean {
    return this.#foreign.has(producer) || this.isOurs(producer)
  }
}
