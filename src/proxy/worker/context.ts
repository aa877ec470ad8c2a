/** What everything on the data path of one worker shares. Made once by the worker; its parts own their state. */

import type { Http1Caps } from '../../codec/http1/caps.ts'
import type { RequestHead } from '../../codec/http1/request-head.ts'
import type { ResponseHead } from '../../codec/http1/response-head.ts'
import type { Http2Sessions } from '../../config/http2-schema.ts'
import type { Config } from '../../config/schema.ts'
import type { TimerWheel } from '../../core/timer-wheel.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { NameResolver } from '../../runtime/names/name-resolver.ts'
import type { TurnClock } from '../../runtime/turn-clock.ts'
import type { AccessLog } from '../access-log/access-log.ts'
import type { Authenticator } from '../credential/authenticator.ts'
import type { ExchangePool } from '../forward/exchange-pool.ts'
import type { ForwardedFields } from '../forward/fields.ts'
import type { WorkerConfig } from '../ipc.ts'
import type { UsageJournal } from '../journal/usage-journal.ts'
import type { HandshakeLimits } from '../limits/handshake-limits.ts'
import type { QuotaDesk } from '../limits/quota-desk.ts'
import type { SourceTurns } from '../limits/source-turns.ts'
import type { Sources } from '../limits/sources.ts'
import type { SocketSource } from '../listener/listening-socket.ts'
import type { ListenerNames } from '../metering/listener-names.ts'
import type { OperationMatcher } from '../metering/operations.ts'
import type { TenantLog } from '../metering/tenant-log.ts'
import type { UsageMeter } from '../metering/usage-meter.ts'
import type { WorkerStats } from '../metering/worker-stats.ts'
import type { Overload } from '../overload/overload.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import type { HostMemo } from '../tenant/host-memo.ts'
import type { Tracing } from '../tracing/tracing.ts'
import type { ReadBuffers } from '../wire/read-buffers.ts'
import type { TurnWrites } from '../wire/turn-writes.ts'
import type { NameLog } from './name-log.ts'
import type { TenantRuntimes } from './tenant-runtimes.ts'

export interface WorkerContext {
  readonly config: WorkerConfig
  readonly clock: TurnClock
  readonly logger: Logger
  /** For what happens to one tenant. */
  readonly tenantLog: TenantLog
  readonly sockets: SocketSource | undefined
  /** Driven by the worker; its clock is `clock.monotonic()`. */
  readonly wheel: TimerWheel
  /** 0 up to, and without, 1; not for secrets. */
  readonly random: () => number
  /** Where the names of endpoints lead, for all tenants. */
  readonly names: NameResolver
  readonly nameLog: NameLog
  readonly meter: UsageMeter
  readonly stats: WorkerStats
  /** By which the two count. */
  readonly listenerNames: ListenerNames
  readonly operations: OperationMatcher
  readonly authenticator: Authenticator
  readonly runtimes: TenantRuntimes
  readonly quotas: QuotaDesk
  readonly handshakeLimits: HandshakeLimits
  /** Of all listeners. */
  readonly handshakeTurns: SourceTurns
  /** Of connections whose penalty for bad credentials is over. */
  readonly penaltyTurns: SourceTurns
  /** Asked where its `level` is not 0. */
  readonly overload: Overload
  /** Where connections come from, on all listeners. */
  readonly sources: Sources
  readonly accessLog: AccessLog | undefined
  /** Spans of calls. */
  readonly tracing: Tracing | undefined
  readonly fields: ForwardedFields
  /** Of this proxy, in `via`. */
  readonly pseudonym: string
  /** Of messages in both directions. */
  readonly caps: Http1Caps
  /** What sessions of HTTP/2 keep to. */
  readonly http2: Http2Sessions
  /** Parsers are shared: what one says is valid until the next head is read. */
  readonly requestHead: RequestHead
  /** For peers in `trustedProxies`, whose `x-forwarded-*` lines stay. */
  readonly trustedRequestHead: RequestHead
  readonly responseHead: ResponseHead
  readonly exchanges: ExchangePool
  readonly hosts: HostMemo
  /** What all sockets read into. */
  readonly readBuffers: ReadBuffers
  /** Where usage goes before what it stands for is sent. */
  readonly journal: UsageJournal
  /** What all sockets send at the end of a turn. */
  readonly turnWrites: TurnWrites
  /** Makes an id for a call. */
  readonly nextRequestId: () => string
  /** Makes an id for a connection. */
  readonly nextConnectionId: () => string
  /** Swapped whole on a reload. */
  directory: TenantDirectory
  /** Whether the worker is ending: connections are closed as soon as they may. */
  draining: boolean
  /** Limits of tenants that have none of their own; they change with the tenants. */
  limits: Config['limits']
}
