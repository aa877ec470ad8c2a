/** The level of the log of the primary and of all workers, which an operator may change for a while. */
import type { Clock } from '../../core/clock.ts'
import type { Logger, LogLevelName } from '../../runtime/logger.ts'

export interface LogLevelOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** Of the configuration. */
  readonly configured: () => LogLevelName
  /** Says it to the workers. */
  readonly tell: (level: LogLevelName) => void
}

export interface LogLevelState {
  readonly level: LogLevelName
  readonly configured: LogLevelName
  /** ISO 8601; null where it stays until it is changed. */
  readonly until: string | null
}

export class LogLevel {
  readonly #options: LogLevelOptions
  #chosen: LogLevelName | undefined
  #until: number | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: LogLevelOptions) {
    this.#options = options
  }

  get current(): LogLevelName {
    return this.#chosen ?? this.#options.configured()
  }

  state(): LogLevelState {
    const until = this.#until === undefined ? null : new Date(this.#until).toISOString()
    return { level: this.current, configured: this.#options.configured(), until }
  }

  /** For `forMs`, or until it is changed again. */
  set(level: LogLevelName, forMs: number | undefined): void {
    const { clock, logger } = this.#options
    this.close()
    this.#chosen = level
    this.#until = forMs === undefined ? undefined : clock.now() + forMs
    if (forMs !== undefined) this.#timer = setTimeout(() => this.reset(), forMs).unref()
    // While both levels write it: that somebody has made the log silent, or loud, is worth a line.
    logger.warn({ level, until: this.state().until }, 'log level changed')
    this.#inForce()
  }

  /** Back to that of the configuration, which may have changed. */
  reset(): void {
    this.close()
    this.#chosen = undefined
    this.#until = undefined
    this.#inForce()
    const { logger } = this.#options
    logger.warn({ level: this.current, until: null }, 'log level changed')
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  #inForce(): void {
    const { logger, tell } = this.#options
    logger.level = this.current
    tell(this.current)
  }
}
