/** What an operator may want of the workers while they serve, and what they answer. */
import type { Clock } from '../../core/clock.ts'
import type { Logger, LogLevelName } from '../../runtime/logger.ts'
import type { OperatorAnswer, OperatorOrder, PrimaryMessage } from '../ipc.ts'
import { ConnectionQuestions } from './connection-questions.ts'
import { LogLevel } from './log-level.ts'
import type { MetricReader } from './metric-tables.ts'
import { ProfileDesk } from './profile-desk.ts'
import { TenantDrainDesk } from './tenant-drain-desk.ts'

export interface OperatorDeskOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** Level of the log that the configuration says. */
  readonly logLevel: () => LogLevelName
  /** Connections of a tenant, as the workers last said. */
  readonly activeOf: (tenant: string) => number
  /** Whether the configuration has it. */
  readonly isTenant: (tenant: string) => boolean
  readonly workers: () => {
    /** Numbers of those that can be asked. */
    readonly serving: readonly number[]
    readonly send: (worker: number, message: PrimaryMessage) => void
    readonly tell: (message: PrimaryMessage) => void
  }
}

export class OperatorDesk {
  readonly logLevel: LogLevel
  readonly drains: TenantDrainDesk
  readonly connections: ConnectionQuestions
  readonly profiles: ProfileDesk
  readonly #workers: OperatorDeskOptions['workers']

  constructor({ clock, logger, logLevel, activeOf, isTenant, workers }: OperatorDeskOptions) {
    this.#workers = workers
    const tell = (order: OperatorOrder): void => this.tell(order)
    this.logLevel = new LogLevel({
      clock,
      logger,
      configured: logLevel,
      tell: level => tell({ kind: 'log-level', level }),
    })
    this.drains = new TenantDrainDesk({ clock, logger, tell, activeOf, isTenant })
    this.connections = new ConnectionQuestions(workers)
    this.profiles = new ProfileDesk(workers)
  }

  /** What a worker has to know that begins. */
  get forWorker(): { logLevel: LogLevelName; draining: readonly string[] } {
    return { logLevel: this.logLevel.current, draining: this.drains.tenants }
  }

  /** To all workers. */
  tell(order: OperatorOrder): void {
    this.#workers().tell({ kind: 'operator', order })
  }

  answered(answer: OperatorAnswer): void {
    if (answer.kind === 'connections') this.connections.answered(answer.id, answer)
    else this.profiles.answered(answer.id, answer.piece)
  }

  /** A worker is gone, and everything that it said has been heard. */
  workerGone(worker: number): void {
    this.profiles.gone(worker)
  }

  /** Tenants that the configuration does not name any more. */
  forget(removed: readonly string[]): void {
    this.drains.forget(removed)
  }

  readers(): MetricReader[] {
    return this.drains.readers()
  }

  close(): void {
    this.logLevel.close()
  }
}
