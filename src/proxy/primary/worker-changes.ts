/** Changes of the configuration while workers run: each takes them in order, and says what it could not do. */
import type { BoundAddress, TenantChange, WorkerMessage } from '../ipc.ts'
import { SlotAnswers } from './slot-answers.ts'
import { tenantMessages } from './tenant-stream.ts'
import type { WorkerSlot } from './worker-slot.ts'

const APPLY_TIMEOUT_MS = 30_000

export class WorkerChanges {
  readonly #slots: () => readonly WorkerSlot[]
  readonly #applying = new SlotAnswers<readonly string[]>()
  #generation = 0
  #bound: readonly BoundAddress[] = []

  constructor(slots: () => readonly WorkerSlot[]) {
    this.#slots = slots
  }

  /**
   * Resolves when every worker that serves has answered, with what any of them could not do. One that is being started takes
   * the change after what it was started with.
   */
  async apply(change: TenantChange): Promise<readonly string[]> {
    this.#generation = change.generation
    for (const slot of this.#slots()) {
      if (slot.state === 'started') slot.stream(tenantMessages(change))
    }
    const answers = this.#slots()
      .filter(({ state }) => state === 'ready')
      .map(slot => this.#applyTo(slot, change))
    return [...new Set((await Promise.all(answers)).flat())]
  }

  /**
   * What the last change of listeners has left behind may end, behind the change in each worker, also one that begins.
   * Returns where a worker listens since then, or some of it where it is very much.
   */
  settle(): readonly BoundAddress[] {
    for (const slot of this.#slots())
      if (slot.state === 'started' || slot.state === 'ready') slot.stream([{ kind: 'settle' }])
    return this.#bound
  }

  /** A worker has answered; only about the last change does anybody wait. */
  applied(
    slot: WorkerSlot,
    { bound, generation, problems }: Extract<WorkerMessage, { kind: 'applied' }>,
  ): void {
    this.#bound = bound ?? this.#bound
    if (generation === this.#generation) this.#applying.answer(slot, problems)
  }

  /** A worker is gone: it takes no change, and nobody waits for it. */
  gone(slot: WorkerSlot): void {
    this.#applying.answer(slot, [])
  }

  async #applyTo(slot: WorkerSlot, change: TenantChange): Promise<readonly string[]> {
    const late = `worker ${slot.number} did not take the change within ${APPLY_TIMEOUT_MS / 1_000} s`
    const answer = this.#applying.wait(slot, APPLY_TIMEOUT_MS, [late])
    slot.stream(tenantMessages(change))
    return answer
  }
}
