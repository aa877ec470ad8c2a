/** What the proxy needs of its machine and cannot mend itself: told in the log and in the metrics. */
import type { TenantDifference } from '../../config/config-store.ts'
import type { Config } from '../../config/schema.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { WorkerReport } from '../ipc.ts'
import { AddressWatch } from './address-watch.ts'
import { ClockWatch } from './clock-watch.ts'
import type { MetricReader } from './metric-tables.ts'
import { NameMetrics } from './name-metrics.ts'
import {
  type OpenFilesNeed,
  openFilesNeed,
  openFilesProblem,
  openFilesReaders,
} from './open-files-check.ts'

export interface MachineWatchOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly config: () => Config
  readonly workers: number
}

export class MachineWatch {
  readonly #logger: Logger
  readonly #clock: ClockWatch
  readonly #addresses: AddressWatch
  readonly #names = new NameMetrics()
  readonly #files: OpenFilesNeed

  constructor({ clock, logger, config, workers }: MachineWatchOptions) {
    this.#logger = logger
    this.#clock = new ClockWatch({ clock, logger })
    this.#addresses = new AddressWatch({ logger, listeners: () => config().listeners })
    this.#files = openFilesNeed(config(), workers)
  }

  /** Returns what makes it useless to start. */
  check(): string[] {
    const found = openFilesProblem(this.#files)
    if (found?.fatal === true) return [found.problem]
    if (found !== undefined) this.#logger.warn({ problem: found.problem }, 'too few open files')
    return []
  }

  start(tenants: Iterable<string>): void {
    this.#addresses.update({ changed: tenants, removed: [] })
    this.#addresses.start()
    this.#clock.start()
  }

  update(difference: TenantDifference): void {
    this.#addresses.update(difference)
  }

  record(report: WorkerReport): void {
    this.#names.record(report)
  }

  readers(): MetricReader[] {
    return [
      ...this.#clock.readers(),
      ...this.#addresses.readers(),
      ...this.#names.readers(),
      ...openFilesReaders(this.#files),
    ]
  }

  close(): void {
    this.#clock.close()
    this.#addresses.close()
  }
}
