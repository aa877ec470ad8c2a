/** The places for workers: those that are to stay, and those whose workers have been told to end. */
import { WORKER_STATES, type WorkerStateLabel } from './worker-metrics.ts'
import { WorkerSlot } from './worker-slot.ts'

export class WorkerSlots {
  /** In the order of their numbers. */
  #all: readonly WorkerSlot[] = []

  get all(): readonly WorkerSlot[] {
    return this.#all
  }

  /** Without those that are to end. */
  get staying(): readonly WorkerSlot[] {
    return this.#all.filter(({ ending }) => !ending)
  }

  /** Whose workers serve, and are to stay. */
  get serving(): readonly WorkerSlot[] {
    return this.#all.filter(({ label }) => label === 'serving')
  }

  /** How many there are in each state. */
  states(): Record<WorkerStateLabel, number> {
    const counts = Object.fromEntries(WORKER_STATES.map(state => [state, 0]))
    for (const { label } of this.#all) counts[label] = (counts[label] ?? 0) + 1
    return counts as Record<WorkerStateLabel, number>
  }

  byNumber(number: number): WorkerSlot | undefined {
    return this.#all.find(slot => slot.number === number)
  }

  /** So many more, with the lowest numbers that nobody has; returns them. */
  add(count: number): readonly WorkerSlot[] {
    const added: WorkerSlot[] = []
    for (let number = 1; added.length < count; number += 1)
      if (this.byNumber(number) === undefined) added.push(new WorkerSlot(number))
    this.#all = [...this.#all, ...added].toSorted((a, b) => a.number - b.number)
    return added
  }

  remove(slot: WorkerSlot): void {
    this.#all = this.#all.filter(other => other !== slot)
  }
}
