/** What the workers need of the primary, and what their start gives. */
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type {
  BoundAddress,
  OperatorAnswer,
  PrimaryMessage,
  QuotaAsk,
  WorkerReport,
} from '../ipc.ts'
import type { ListeningSockets } from './listening-sockets.ts'
import type { PreparedWorkers } from './prepared-workers.ts'
import type { TenantsToBegin } from './worker-start.ts'

type StartMessage = Extract<PrimaryMessage, { kind: 'start' }>

/** What a worker begins with. */
export interface WorkerStart extends TenantsToBegin {
  readonly message: Omit<StartMessage, 'kind' | 'generation' | 'ahead'>
}

export interface WorkerPoolOptions {
  /** File that a worker runs. */
  readonly entry: string
  /** How many there are to be at the start. */
  readonly count: number
  /** Workers that are under way already; they are taken first. */
  readonly prepared?: PreparedWorkers | undefined
  /** What they listen at. */
  readonly sockets: ListeningSockets
  readonly clock: Clock
  readonly logger: Logger
  /**
   * What a worker begins with that got so many tenants `ahead`; asked anew for each, so that a replacement gets the configuration
   * of its day.
   */
  readonly workerStart: (ahead: number) => WorkerStart
  /** A worker serves, and says which journal is its own. */
  readonly onReady: (slot: number, producer: string) => void
  readonly onReport: (slot: number, report: WorkerReport) => void
  /** Of an order of an operator. */
  readonly onAnswer: (answer: OperatorAnswer) => void
  /** Answered by `send`. */
  readonly onQuotaAsks: (slot: number, asks: readonly QuotaAsk[]) => void
  /** A worker is gone, and everything that it said has been heard. */
  readonly onGone: (slot: number) => void
  readonly onRestart: () => void
  /** How long a worker may give no sign of life, in ms; 0 for ever. */
  readonly silence: number
  /** One gave none for that long. It will die. */
  readonly onHang: () => void
}

export type StartResult =
  | { readonly ok: true; readonly bound: readonly BoundAddress[] }
  /** `configuration`: that is what all problems are about. */
  | { readonly ok: false; readonly configuration: boolean; readonly problems: readonly string[] }
