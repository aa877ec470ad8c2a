/**
 * A connection that has sent one bad credential too many: once the call is over it is not read for a second, and then comes back
 * when its turn comes, since others come back in the same moment.
 */
import type { SourceTurns, WaitingTurn } from '../../limits/source-turns.ts'
import type { Source } from '../../limits/sources.ts'
import type { CallWatch } from '../call-watch.ts'
import { PAUSED_BY, type ReadPauses } from '../read-pauses.ts'

/**
 * Between two bad credentials that are too many. To end the connection instead would cost more: a new one takes some 150 µs of
 * CPU, and a call that is refused a tenth of that.
 */
const PENALTY_MS = 1_000

export interface PenaltyDeps {
  readonly source: Source | undefined
  readonly turns: SourceTurns
  readonly pauses: ReadPauses
  /** It says when the time of `penalty` is up, for `served`. */
  readonly watch: CallWatch
  /** The connection is read again. */
  readonly over: () => void
}

export class Penalty implements WaitingTurn {
  readonly #deps: PenaltyDeps
  #due = false

  constructor(deps: PenaltyDeps) {
    this.#deps = deps
  }

  get source(): Source | undefined {
    return this.#deps.source
  }

  /** It begins with the end of the present call. */
  incur(): void {
    this.#due = true
  }

  /** The call is over. Whether a penalty begins now. */
  begins(): boolean {
    if (!this.#due) return false
    this.#due = false
    this.#deps.pauses.set(PAUSED_BY.penalty, true)
    this.#deps.watch.wait('penalty', PENALTY_MS)
    return true
  }

  served(): void {
    this.#deps.turns.join(this)
  }

  turnCame(): void {
    this.#deps.pauses.set(PAUSED_BY.penalty, false)
    this.#deps.over()
  }

  /** The connection is gone. */
  close(): void {
    this.#deps.turns.leave(this)
  }
}
