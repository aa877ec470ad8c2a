/** What the proxy's primary process is given, and how it ends. */
import type { ConfigStore } from '../config/config-store.ts'
import type { Logger } from '../runtime/logger.ts'
import type { onSignals } from '../runtime/signals.ts'
import type { PreparedWorkers } from './primary/prepared-workers.ts'
import type { SuccessionSettings } from './primary/upgrade/succession.ts'

export interface ProxyOptions {
  /** What is in force, and how it changes. */
  readonly store: ConfigStore
  /** Instead of `config.workers`. */
  readonly workers?: number
  readonly logger: Logger
  /** The program of the workers; tests bring their own. */
  readonly workerEntry?: string | undefined
  /** Workers that were forked before the configuration was read. */
  readonly prepared?: PreparedWorkers | undefined
  /** After whom it comes, and who may come after it; nobody by default. */
  readonly succession?: SuccessionSettings | undefined
  /** How signals arrive; tests bring their own. Returns how to stop listening. */
  readonly signals?: typeof onSignals
}

/** 0 after a drain, 1 when it could not start or was stopped before it was drained, 2 for a wrong configuration. */
export interface ProxyResult {
  readonly exitCode: number
}
