/**
 * Which long reads a turn of the event loop makes. Behind a full read libuv would read on, up to 32 times, before it looks at
 * another socket: megabytes of one flood. Whoever sends less is read in every turn: so the connections of a flood wait for
 * each other, and nobody else for all of them. One read a turn would be too few: with one connection to a deployment the
 * answers of many streams come on it. And a number that always fits there is none: 64 KiB take 30 µs, or 2.4 ms where
 * they come in the smallest chunks.
 */

/** A read of so much is a long one. */
export const LONG_READ_BYTES = 8 * 1024

/** For how long a turn goes on with the long reads of one connection, behind its first. */
const TURN_MS = 0.5
/**
 * The same where others wait for theirs: a crowd has each turn filled, and three turns are in a call. A hundred readers of
 * large answers leave a quiet tenant a 99th percentile of 2.6 ms instead of 3.8 (`npm run bench:isolation -- --scenario
 * slow-reads`); for one connection alone it would be a tenth of its CPU.
 */
const SHARED_TURN_MS = 0.2
/** Who reads on in a turn, if those before did not use it up. */
const MOST_A_TURN = 8

/**
 * From so many on they stand back for every other turn, which has then only what others sent during the one before: a call
 * that comes amid long reads would wait for the rest of this turn, and be answered at the end of another one like it.
 */
const CROWD = 2

/** Who reads no more in this turn of the event loop. */
export interface Resting {
  nextTurn(): void
}

export class LongReads {
  readonly #now: () => number
  readonly #resting: Resting[] = []
  /** When the first of this turn was over; undefined before that. */
  #begunAt: number | undefined
  #used = false
  #wake = MOST_A_TURN
  /** Whether this turn is one for the others. */
  #standingBack = false

  /** `now`: milliseconds, as they pass within a turn. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Behind a long read: whether this turn has had its part of them. */
  crowded(): boolean {
    if (this.#begunAt === undefined) {
      if (this.#resting.length === 0) setImmediate(this.#nextTurn)
      this.#begunAt = this.#now()
      return false
    }
    const most = this.#resting.length > 0 ? SHARED_TURN_MS : TURN_MS
    if (!this.#used) this.#used = this.#now() - this.#begunAt >= most
    return this.#used
  }

  /** `who`, behind a long read, reads on in a later turn, when those before it had theirs. */
  rest(who: Resting): void {
    this.#resting.push(who)
  }

  readonly #nextTurn = (): void => {
    // Each that reads on makes one read at least: fewer are woken where they took the time of a turn before its end.
    if (!this.#standingBack)
      this.#wake = this.#used ? Math.max(1, this.#wake >> 1) : Math.min(MOST_A_TURN, this.#wake + 1)
    this.#used = false
    this.#begunAt = undefined
    this.#standingBack = !this.#standingBack && this.#resting.length >= CROWD
    if (!this.#standingBack) for (const who of this.#resting.splice(0, this.#wake)) who.nextTurn()
    if (this.#resting.length > 0) setImmediate(this.#nextTurn)
  }
}
