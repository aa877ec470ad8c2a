/** For how long nothing was heard of a worker, in looks at it. */
export class WorkerSilence {
  /** Since it was last heard. */
  looks = 0
  #excused = 0

  heard(): void {
    this.looks = 0
  }

  /** Another worker holds the place. */
  begin(): void {
    this.looks = 0
    this.#excused = 0
  }

  /** So many looks from now on count for nothing. */
  excuse(looks: number): void {
    this.#excused = looks
  }

  /** Somebody looks. Returns for how many looks it has been silent. */
  count(): number {
    if (this.#excused > 0) this.#excused -= 1
    else this.looks += 1
    return this.looks
  }
}
