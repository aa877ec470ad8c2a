/** What workers are asked for and answer later: one question a worker at a time, and none for ever. */
import type { WorkerSlot } from './worker-slot.ts'

export class SlotAnswers<T> {
  readonly #waiting = new Map<WorkerSlot, (answer: T) => void>()

  /** Resolves with what `answer` gives for this slot, or with `late` after `timeoutMs`. */
  async wait(slot: WorkerSlot, timeoutMs: number, late: T): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<T>()
    const timer = setTimeout(resolve, timeoutMs, late)
    this.#waiting.set(slot, resolve)
    const answer = await promise
    clearTimeout(timer)
    if (this.#waiting.get(slot) === resolve) this.#waiting.delete(slot)
    return answer
  }

  /** Whether somebody waits for it. */
  isAwaited(slot: WorkerSlot): boolean {
    return this.#waiting.has(slot)
  }

  /** Nobody may be waiting. */
  answer(slot: WorkerSlot, answer: T): void {
    this.#waiting.get(slot)?.(answer)
  }
}
