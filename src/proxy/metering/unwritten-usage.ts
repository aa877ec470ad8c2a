/**
 * Usage that is counted and not in the journal. It stays in the rows, which are there anyway: writing takes it out only
 * when it has succeeded. What was counted in a minute that is over waits beside them, with its minute.
 */
import type { BatchWriter } from '../../contracts/journal-segment.ts'
import { catchUp, type DeltaSlot, emptyDelta, subtract, type UsageRow } from './usage-row.ts'

/** Of rows and minutes that are over: some 20 MiB. They are only so many where the journal fails for long. */
const MAX_CARRIED = 100_000

interface Carried {
  readonly row: UsageRow
  readonly delta: DeltaSlot
}

export class UnwrittenUsage {
  /** Start of the minute that the rows count in, in ms since the epoch. */
  window: number
  /** Entries that were counted under a later minute than their own since there were too many; they are billed all the same. */
  postponed = 0
  readonly #maxCarried: number
  #rows: UsageRow[] = []
  #carried: Carried[] = []
  readonly #delta = emptyDelta()
  /** How many of each the present batch has. */
  #rowsTaken = 0
  #carriedTaken = 0

  constructor(window: number, maxCarried: number = MAX_CARRIED) {
    this.window = window
    this.#maxCarried = maxCarried
  }

  get empty(): boolean {
    return this.#rows.length === 0 && this.#carried.length === 0
  }

  /** Entries that a journal would get now. */
  get size(): number {
    return this.#rows.length + this.#carried.length
  }

  /** `row` has counted something. */
  add(row: UsageRow): void {
    row.unwritten = true
    this.#rows.push(row)
  }

  /** The minute is over; the rows go on in the one that begins at `window`. */
  turnTo(window: number): void {
    const kept: UsageRow[] = []
    for (const row of this.#rows) {
      const delta = emptyDelta()
      delta.window = this.window
      if (!subtract(delta, row.counted, row.journaled)) row.unwritten = false
      else if (this.#carried.length < this.#maxCarried) {
        this.#carried.push({ row, delta })
        catchUp(row.journaled, row.counted)
        row.unwritten = false
      } else {
        // Better in the wrong minute than nowhere.
        this.postponed += 1
        kept.push(row)
      }
    }
    this.#rows = kept
    this.window = window
  }

  /** Puts into `batch` as much as fits. Keys go in where a row has none in this `epoch`. */
  encode(batch: BatchWriter, epoch: number): void {
    let taken = 0
    for (; taken < this.#carried.length && !batch.full; taken++) {
      const { row, delta } = this.#carried[taken] as Carried
      put(batch, row, delta, epoch)
    }
    this.#carriedTaken = taken
    const delta = this.#delta
    delta.window = this.window
    taken = 0
    for (; taken < this.#rows.length && !batch.full; taken++) {
      const row = this.#rows[taken] as UsageRow
      if (subtract(delta, row.counted, row.journaled)) put(batch, row, delta, epoch)
    }
    this.#rowsTaken = taken
  }

  /** What `encode` has put into a batch is in the journal. Nothing may have been counted in between. */
  written(): void {
    if (this.#carriedTaken > 0) this.#carried.splice(0, this.#carriedTaken)
    const rows = this.#rows
    const taken = this.#rowsTaken
    for (let index = 0; index < taken; index++) {
      const row = rows[index] as UsageRow
      catchUp(row.journaled, row.counted)
      row.unwritten = false
    }
    if (taken === rows.length) rows.length = 0
    else rows.splice(0, taken)
  }
}

function put(batch: BatchWriter, row: UsageRow, delta: DeltaSlot, epoch: number): void {
  if (row.keyedIn !== epoch) {
    batch.key(row.number, row.key)
    row.keyedIn = epoch
  }
  batch.usage(row.number, delta)
}
