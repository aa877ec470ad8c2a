/** What the admin server has refused: counted by reason, and in the log where somebody may be at the door. */
import type { Clock } from '../../core/clock.ts'
import type { ErrorCode } from '../../core/errors.ts'
import type { Logger } from '../../runtime/logger.ts'
import { CounterTable, type MetricReader } from './metric-tables.ts'

/** One line a reason in this time: who guesses tokens must not fill the disk. */
const QUIET_MS = 60_000
/** Of these an operator wants to hear; any other is a slip of whoever calls. */
const LOGGED: ReadonlySet<ErrorCode> = new Set(['unauthorized', 'host_not_allowed'])

export class AdminRefusals {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #counts = new CounterTable()
  readonly #quiet = new Map<ErrorCode, { until: number; unsaid: number }>()

  constructor({ clock, logger }: { readonly clock: Clock; readonly logger: Logger }) {
    this.#clock = clock
    this.#logger = logger
    for (const reason of LOGGED) this.#counts.add({ reason }, 0)
  }

  /** `from` is the address of whoever called. */
  count(reason: ErrorCode, from: string | undefined): void {
    this.#counts.add({ reason }, 1)
    if (!LOGGED.has(reason)) return
    const now = this.#clock.monotonic()
    const last = this.#quiet.get(reason)
    if (last !== undefined && now < last.until) {
      last.unsaid += 1
      return
    }
    const before = last?.unsaid ?? 0
    this.#quiet.set(reason, { until: now + QUIET_MS, unsaid: 0 })
    this.#logger.warn({ reason, from, before }, 'a call of the admin server was refused')
  }

  readers(): MetricReader[] {
    return [
      {
        name: 'amt_admin_refused_total',
        help: 'Calls of the admin server that were refused.',
        type: 'counter',
        read: () => this.#counts.samples(),
      },
    ]
  }
}
