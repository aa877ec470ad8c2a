/** How names of endpoints were resolved: counted, and each that begins to fail in the log, as far as that has room. */
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { NameAnswer } from '../../runtime/names/dns-lookup.ts'

/** Lines in a minute: with its DNS gone every name of a proxy fails, and one of them says so. */
const MOST_LINES = 10
const MINUTE_MS = 60_000

export type NameFigures = Record<NameAnswer['kind'], number>

export class NameLog {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #logger: Logger
  #figures: NameFigures = nothing()
  #minuteFrom = Number.NEGATIVE_INFINITY
  #lines = 0
  #unsaid = 0

  constructor(clock: Pick<Clock, 'monotonic'>, logger: Logger) {
    this.#clock = clock
    this.#logger = logger
  }

  /** `failed` says whether the last answer for the name was one of failure, too. */
  answered(name: string, kind: NameAnswer['kind'], failed: boolean): void {
    this.#figures[kind] += 1
    if (kind === 'found' || failed) return
    const now = this.#clock.monotonic()
    if (now - this.#minuteFrom > MINUTE_MS) {
      this.#minuteFrom = now
      this.#lines = 0
    }
    if (this.#lines === MOST_LINES) {
      this.#unsaid += 1
      return
    }
    this.#lines += 1
    const fields = { endpoint: name, unsaid: this.#unsaid }
    this.#unsaid = 0
    this.#logger.error(fields, kind === 'down' ? DOWN : UNKNOWN)
  }

  /** Since the last time. */
  take(): NameFigures {
    const figures = this.#figures
    this.#figures = nothing()
    return figures
  }
}

const DOWN = 'DNS does not say where an endpoint is; addresses that it had stay in use for an hour'
const UNKNOWN = 'DNS says that the name of an endpoint does not exist, so it leads nowhere'

function nothing(): NameFigures {
  return { found: 0, unknown: 0, down: 0 }
}
