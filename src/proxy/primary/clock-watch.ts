/**
 * Notices when the time of day jumps: somebody has set the clock, or the machine was asleep. Durations and limits go by the
 * monotonic clock and do not care; windows of usage, tokens and certificates go by the time of day, and do.
 */
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import { CounterTable, type MetricReader } from './metric-tables.ts'

/** A clock that is steered goes 0.5 ms a second wrong at most; what is less than this is nobody's trouble. */
const JUMP_MS = 1_000
const LOOK_MS = 1_000
const DIRECTIONS = ['forward', 'backward'] as const

export class ClockWatch {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #jumps = new CounterTable()
  /** Of the time of day over the monotonic one. */
  #offset: number
  #timer: NodeJS.Timeout | undefined

  constructor({ clock, logger }: { readonly clock: Clock; readonly logger: Logger }) {
    this.#clock = clock
    this.#logger = logger
    this.#offset = this.#now()
    for (const direction of DIRECTIONS) this.#jumps.add({ direction }, 0)
  }

  start(): void {
    this.#timer ??= setInterval(() => this.look(), LOOK_MS).unref()
  }

  look(): void {
    const offset = this.#now()
    const jumpMs = Math.round(offset - this.#offset)
    this.#offset = offset
    if (Math.abs(jumpMs) < JUMP_MS) return
    this.#jumps.add({ direction: jumpMs > 0 ? 'forward' : 'backward' }, 1)
    this.#logger.error(
      { jumpMs },
      'the clock of this machine has jumped; usage is billed in the minutes that it says',
    )
  }

  close(): void {
    clearInterval(this.#timer)
  }

  readers(): MetricReader[] {
    return [
      {
        name: 'amt_clock_jumps_total',
        help: 'Times the clock of the machine was set by more than a second, or the machine slept.',
        type: 'counter',
        read: () => this.#jumps.samples(),
      },
    ]
  }

  #now(): number {
    return this.#clock.now() - this.#clock.monotonic()
  }
}
