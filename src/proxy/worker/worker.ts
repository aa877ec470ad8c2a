/** One worker of the data plane, put together; it runs in a process of its own, or in a test. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { RequestHead } from '../../codec/http1/request-head.ts'
import { ResponseHead } from '../../codec/http1/response-head.ts'
import { RECENT_VALUES } from '../../codec/http2/hpack-decoder.ts'
import { capsOf } from '../../config/http1-schema.ts'
import { sessionOptionsOf } from '../../config/http2-schema.ts'
import type { ListenerConfig } from '../../config/schema.ts'
import type { Clock } from '../../core/clock.ts'
import { sameConfig } from '../../core/same-config.ts'
import { TimerWheel } from '../../core/timer-wheel.ts'
import type { BackgroundFile } from '../../runtime/background-file.ts'
import type { Logger } from '../../runtime/logger.ts'
import { DnsLookup, type NameLookup } from '../../runtime/names/dns-lookup.ts'
import { MAX_ADDRESSES, NameResolver } from '../../runtime/names/name-resolver.ts'
import { ProcessWatch } from '../../runtime/process-figures.ts'
import { TurnClock } from '../../runtime/turn-clock.ts'
import { createAccessLog, NO_LINES } from '../access-log/access-log.ts'
import { Authenticator } from '../credential/authenticator.ts'
import { ExchangePool } from '../forward/exchange-pool.ts'
import { ForwardedFields } from '../forward/fields.ts'
import { pseudonymOf, randomInstance } from '../forward/via.ts'
import type {
  BoundAddress,
  QuotaAnswer,
  QuotaAsk,
  TenantChange,
  WorkerConfig,
  WorkerReport,
} from '../ipc.ts'
import type { JournalDisk } from '../journal/journal-disk.ts'
import { HandshakeLimits } from '../limits/handshake-limits.ts'
import { QuotaDesk } from '../limits/quota-desk.ts'
import { SourceTurns } from '../limits/source-turns.ts'
import { Sources } from '../limits/sources.ts'
import { drainTimes } from '../listener/drain-times.ts'
import { type GivenTls, ListenerSet } from '../listener/listener-set.ts'
import type { SocketSource } from '../listener/listening-socket.ts'
import type { TlsMaterial } from '../listener/tls-material.ts'
import type { TicketSecrets } from '../listener/tls-tickets.ts'
import { ListenerNames } from '../metering/listener-names.ts'
import { OperationMatcher } from '../metering/operations.ts'
import { TenantLog, TOO_MANY_ADDRESSES } from '../metering/tenant-log.ts'
import { UsageMeter } from '../metering/usage-meter.ts'
import { WorkerStats } from '../metering/worker-stats.ts'
import { type DirectorySwap, TenantDirectory } from '../tenant/directory.ts'
import type { FirstTenants } from '../tenant/first-tenants.ts'
import { HostMemo } from '../tenant/host-memo.ts'
import { PendingChange } from '../tenant/pending-change.ts'
import { createTracing, NO_SPANS } from '../tracing/tracing.ts'
import { LongReads } from '../wire/long-reads.ts'
import { ReadBuffers } from '../wire/read-buffers.ts'
import { TurnWrites } from '../wire/turn-writes.ts'
import { type ConnectionList, connectionsOf } from './connection-list.ts'
import type { WorkerContext } from './context.ts'
import { createJournal } from './create-journal.ts'
import { EndpointCensus } from './endpoint-census.ts'
import { ids } from './ids.ts'
import { NameLog } from './name-log.ts'
import { nextTurnOf } from './next-turn.ts'
import { type TenantDrain, TenantDrains } from './tenant-drains.ts'
import { TenantRuntimes } from './tenant-runtimes.ts'
import { createOverload, LoadWatch } from './worker-overload.ts'

/**
 * Reports are for metrics: what is billed is in the journal by then. Each wakes the primary, which on a machine with few
 * cores takes the CPU of a worker away for a moment: with four a second they were what the slowest calls waited for.
 */
const REPORT_MS = 1_000
const TICK_MS = 50
/** A socket needs one or two. */
const MAX_CLOSING_TURNS = 1_000

export interface WorkerDeps {
  readonly clock: Clock
  readonly logger: Logger
  /** 0 up to, and without, 1; `Math.random` by default. */
  readonly random?: () => number
  /** Where names of endpoints are looked up; the DNS servers of the system by default. */
  readonly lookup?: NameLookup
  /** Where an access log on stdout goes, together with what else is written there; it makes its own where this is left out. */
  readonly output?: BackgroundFile
  /** The disk of the journal; that of the machine by default. */
  readonly disk?: JournalDisk
  /** Binds what it listens at; the worker itself by default. */
  readonly sockets?: SocketSource
  /** Takes the reports. */
  readonly report: (report: WorkerReport) => void
  /** Takes what quotas ask the mixer; the answers come back by `quotaAnswers`. Nobody does where it is left out. */
  readonly askQuota?: (asks: readonly QuotaAsk[]) => void
  /** See `JournalOptions`; a worker in the process of its primary cannot be an orphan. */
  readonly endIfOrphaned?: () => void
}

export interface WorkerOptions {
  /** The tenants come by `takeTenants`. */
  readonly config: WorkerConfig
  readonly generation: number
  /** Number of workers that share the limits. */
  readonly workers: number
  /** The same in all workers of a proxy, see `pseudonymOf`; made up where there is no primary to say it. */
  readonly instance?: string
  /** Tenants that are drained. */
  readonly draining?: readonly string[] | undefined
  /** TLS of the listeners; what is left out is read and made up by the worker itself. */
  readonly tls?: GivenTls
  /** Tenants that it has taken already; the others come by `takeTenants`, before anybody is served. */
  readonly first?: FirstTenants | undefined
}

export type StartResult =
  | { readonly bound: readonly BoundAddress[] }
  | { readonly reason: 'configuration' | 'listen'; readonly problems: readonly string[] }

export class Worker {
  readonly #context: WorkerContext
  readonly #listeners: ListenerSet
  readonly #report: (report: WorkerReport) => void
  readonly #census: EndpointCensus
  readonly #lag = monitorEventLoopDelay({ resolution: 10 })
  readonly #process = new ProcessWatch()
  readonly #intervals: NodeJS.Timeout[] = []
  readonly #workers: number
  #load: LoadWatch | undefined
  readonly #drains: TenantDrains
  /** A change whose last piece is not there yet. */
  #pending: PendingChange | undefined
  #started = false

  constructor(deps: WorkerDeps, options: WorkerOptions) {
    this.#report = deps.report
    this.#context = createContext(deps, options)
    this.#listeners = new ListenerSet(this.#context, options.tls)
    this.#census = new EndpointCensus(this.#context.runtimes)
    this.#workers = options.workers
    this.#drains = new TenantDrains(this.#context, this.#listeners.connections)
    this.#drains.keep(options.draining ?? [])
    this.#pending = options.first && new PendingChange(this.#context.directory, options.first)
  }

  /** Binds everything or nothing. */
  async start(): Promise<StartResult> {
    const unusable = this.#listeners.prepare()
    if (unusable.length > 0) return { reason: 'configuration', problems: unusable }
    this.#started = true
    await this.#context.tracing?.start()
    const problems = await this.#listeners.bind()
    if (problems.length > 0) {
      this.#listeners.drain()
      return { reason: 'listen', problems }
    }
    const { clock, accessLog } = this.#context
    const ports = (): ReadonlySet<number> => this.#listeners.ports
    const load = new LoadWatch(this.#context, { tickMs: TICK_MS, workers: this.#workers, ports })
    this.#load = load
    this.#lag.enable()
    this.#intervals.push(
      setInterval(() => {
        clock.synchronize()
        load.look(clock.monotonic())
        // Timers come first in a turn of the loop. After a long one a peer that has spoken in time is heard before it is late.
        setImmediate(this.#expireTimers)
        accessLog?.flush()
      }, TICK_MS),
      setInterval(() => this.reportNow(), REPORT_MS),
    )
    return { bound: this.#listeners.bound }
  }

  readonly #expireTimers = (): void => {
    const { clock, wheel } = this.#context
    clock.synchronize()
    wheel.advance(clock.monotonic())
  }

  /**
   * Takes a piece of a change; with the last one the change is in force, or nothing of it. Returns what is wrong then, else
   * undefined. Connections of tenants that stay as they are notice nothing. One at a time.
   */
  async takeTenants(
    piece: TenantChange & { readonly last: boolean },
  ): Promise<string[] | undefined> {
    this.#pending ??= new PendingChange(this.#context.directory)
    this.#pending.take(piece)
    if (!piece.last) return undefined
    const pending = this.#pending
    this.#pending = undefined
    let swap: DirectorySwap
    try {
      swap = await pending.finish(piece.generation, nextTurn)
    } catch (error) {
      return [(error as Error).message]
    }
    this.#swapDirectory(swap, piece.limits)
    if (!this.#started) return []
    const problems = piece.listeners ? await this.#listeners.follow(piece.listeners) : []
    return problems.length > 0 ? problems : this.#listeners.rebind(swap)
  }

  /** All workers have taken the last change of listeners, and nothing of it is taken back. */
  settleListeners(): void {
    this.#listeners.settle()
  }

  /** Where it listens at this moment. */
  get bound(): readonly BoundAddress[] {
    return this.#listeners.bound
  }

  #swapDirectory(
    { directory, left, entered }: DirectorySwap,
    limits: TenantChange['limits'],
  ): void {
    const context = this.#context
    const { quotas, runtimes, handshakeLimits } = context
    context.directory = directory
    this.#drains.entered(entered)
    context.authenticator.setDirectory(directory)
    const former = context.limits
    context.limits = limits
    context.clock.refresh()
    for (const tenant of left) {
      const next = directory.byId(tenant.id)
      if (next === undefined) {
        quotas.forget(tenant.id)
        runtimes.end(tenant)
      } else {
        runtimes.succeed(tenant, next)
        handshakeLimits.succeed(tenant, next)
      }
    }
    if (sameConfig(limits, former)) return
    runtimes.relimit(context.clock.monotonic())
    if (limits.handshakes !== former.handshakes) handshakeLimits.reset()
  }

  /** For handshakes from now on; those that cannot be used leave the former in place. */
  applyTls(listeners: readonly ListenerConfig[], materials: readonly TlsMaterial[]): void {
    for (const problem of this.#listeners.useTls(listeners, materials))
      this.#context.logger.error({ problem }, 'TLS of a listener cannot be used; the former stays')
  }

  applyTickets(secrets: readonly TicketSecrets[]): void {
    this.#listeners.useTickets(secrets)
  }

  /** So many workers serve: each has that share of the limits of all tenants. `count` share the memory of the machine. */
  shareLimits(workers: number, count: number = workers): void {
    this.#load?.share(count)
    const { clock, runtimes, handshakeLimits, sources, tracing } = this.#context
    clock.refresh()
    runtimes.share(workers, clock.monotonic())
    tracing?.sampler.share(workers, clock.monotonic())
    handshakeLimits.share(workers)
    sources.share(workers)
  }

  drainTenant(drain: TenantDrain): void {
    this.#context.clock.refresh()
    this.#drains.begin(drain)
  }

  resumeTenant(tenant: string): void {
    this.#drains.end(tenant)
  }

  /** `limit` at most. */
  async connectionsOf(tenant: string, limit: number): Promise<ConnectionList> {
    const { clock } = this.#context
    const asked = { tenant, limit, now: () => clock.monotonic() }
    return connectionsOf(this.#listeners.connections, asked, nextTurn)
  }

  /** Writes the last lines at once; false where a write is under way that may never come to its end. */
  endLogs(): boolean {
    return this.#context.accessLog?.endNow() !== false
  }

  /** The file of the access log was moved away. */
  reopenLogs(): void {
    this.#context.accessLog?.reopen()
  }

  quotaAnswers(answers: readonly QuotaAnswer[]): void {
    this.#context.clock.refresh()
    this.#context.quotas.answered(answers)
  }

  /** Sends what was counted since the last report. */
  reportNow(): void {
    const { meter, stats, clock, authenticator, quotas, sources, accessLog, journal, overload } =
      this.#context
    clock.synchronize()
    const usage = meter.take()
    // The time of idle connections, too, which no traffic brings there.
    journal.commit()
    journal.check()
    const eventLoopLagMs = Math.max(0, this.#lag.max / 1e6 - 10)
    this.#lag.reset()
    this.#report({
      kind: 'report',
      usage,
      ...stats.take(),
      connections: meter.takeConnectionCounts(),
      jwtCache: authenticator.takeJwtCounters(),
      tokenIssuers: authenticator.takeIssuerFigures(clock.now()),
      endpoints: this.#census.changes(clock.monotonic()),
      eventLoopLagMs,
      process: this.#process.take(),
      ...overload.take(),
      journal: journal.takeFigures(),
      quotaOpened: quotas.takeOpened(),
      fieldValuesForgotten: RECENT_VALUES.takeForgotten(),
      sourcesForgotten: sources.takeForgotten(),
      accessLog: accessLog?.take() ?? NO_LINES,
      traces: this.#context.tracing?.take() ?? NO_SPANS,
      names: this.#context.nameLog.take(),
      ...authenticator.takeKeyUses(),
    })
    this.#context.runtimes.sweep(clock.monotonic())
  }

  /** Ends everything politely, calls within `timeouts.drain` and tunnels within their time, then for good; reports a last time. */
  async drain(): Promise<void> {
    const begun = this.#context.clock.monotonic()
    this.#context.draining = true
    this.#listeners.drain()
    for (const { kind, ms } of drainTimes(this.#context.config)) {
      await this.#emptyAt(begun + ms)
      this.#listeners.destroyAll(kind)
    }
    await this.close()
  }

  /** All connections are gone, or it is that late. */
  async #emptyAt(deadline: number): Promise<void> {
    const { clock } = this.#context
    while (this.#listeners.connections.size > 0 && clock.monotonic() < deadline)
      await new Promise(resolve => setTimeout(resolve, TICK_MS))
    // Timers come first in a turn of the loop: a client that has spoken in time is heard before anybody is cut.
    await nextTurn()
  }

  /** Ends everything at once; reports a last time. */
  async close(): Promise<void> {
    this.#context.draining = true
    this.#listeners.drain()
    this.#listeners.destroy()
    // Sockets report their ends in the turns that follow, and only then are the books of their calls closed.
    for (let turn = 0; turn < MAX_CLOSING_TURNS && this.openConnections > 0; turn++)
      await new Promise(resolve => setImmediate(resolve))
    for (const interval of this.#intervals) clearInterval(interval)
    this.#drains.close()
    this.#lag.disable()
    this.#context.runtimes.endAll()
    this.#context.names.close()
    await this.#context.authenticator.close()
    this.saveUsage()
    // Before the last report, which says what of it was dropped.
    await Promise.all([this.#context.accessLog?.end(), this.#context.tracing?.end()])
    this.reportNow()
  }

  /** The process is about to end: what was counted up to now goes to the disk. */
  saveUsage(): void {
    const { meter, clock, journal } = this.#context
    clock.synchronize()
    meter.countOpenTime()
    journal.close()
  }

  /** Names the journal of this worker. */
  get producer(): string {
    return this.#context.journal.producer
  }

  get tenantCount(): number {
    return this.#context.directory.size
  }

  /** Bytes that wait for slow peers, as limits of tenants count them. */
  get bufferedBytes(): number {
    return this.#context.runtimes.buffered
  }

  /** Open downstream connections, detection included. */
  get openConnections(): number {
    return this.#listeners.connections.size
  }
}

function createContext(
  deps: WorkerDeps,
  { config, generation, workers, instance = randomInstance() }: WorkerOptions,
): WorkerContext {
  const { logger, sockets, random = Math.random, lookup = new DnsLookup() } = deps
  const clock = new TurnClock(deps.clock)
  const listenerNames = new ListenerNames(config.listeners.map(({ name }) => name))
  const fields = new ForwardedFields(config.authentication.apiKey.header.toLowerCase())
  const caps = capsOf(config.http1)
  const { path } = config.http1
  const directory = TenantDirectory.empty(generation)
  const meter = new UsageMeter(
    config.service.operations.map(operation => operation.name),
    listenerNames.all,
    clock,
  )
  const journal = createJournal({ ...deps, clock }, config.mixer, meter)
  const turnWrites = new TurnWrites(journal)
  const behindTurn = nextTurnOf(clock, turnWrites)
  const wheel = new TimerWheel(clock.monotonic())
  const stats = new WorkerStats(listenerNames.all)
  const tenantLog = new TenantLog({ logger, clock, stats })
  const tooMany = (tenant: string, name: string, count: number): void =>
    tenantLog.warn(tenant, { name, count, used: MAX_ADDRESSES }, TOO_MANY_ADDRESSES)
  const nameLog = new NameLog(clock, logger)
  const context: WorkerContext = {
    sockets,
    config,
    clock,
    logger,
    tenantLog,
    wheel,
    random,
    names: new NameResolver({ lookup, clock, wheel, random, tooMany, answers: nameLog }),
    nameLog,
    meter,
    stats,
    listenerNames,
    operations: new OperationMatcher(config.service.operations, meter.other),
    authenticator: new Authenticator({
      directory,
      issuers: config.authentication.jwt,
      spiffe: config.authentication.spiffe,
      log: logger,
    }),
    runtimes: new TenantRuntimes(() => context, workers),
    handshakeLimits: new HandshakeLimits(() => context.limits, workers),
    handshakeTurns: new SourceTurns(behindTurn),
    penaltyTurns: new SourceTurns(behindTurn),
    quotas: new QuotaDesk({
      clock,
      failure: config.mixer.quotaFailure,
      operations: meter.operations,
      send: deps.askQuota ?? (() => {}),
    }),
    overload: createOverload(config, clock, behindTurn, () => context),
    sources: new Sources(config.sources, workers),
    accessLog: createAccessLog({ log: config.log, clock, logger, random, output: deps.output }),
    tracing: createTracing(config, { journal, workers, clock, logger, random }),
    fields,
    pseudonym: pseudonymOf(config.service.name, instance),
    caps,
    http2: sessionOptionsOf(config),
    requestHead: new RequestHead(fields.request, caps, path),
    trustedRequestHead: new RequestHead(fields.trustedRequest, caps, path),
    responseHead: new ResponseHead(fields.response, caps),
    exchanges: new ExchangePool(() => context),
    hosts: new HostMemo(),
    readBuffers: new ReadBuffers(new LongReads(() => deps.clock.monotonic())),
    journal,
    turnWrites,
    nextRequestId: ids(),
    nextConnectionId: ids(),
    directory,
    draining: false,
    limits: config.limits,
  }
  return context
}

/** Lets everything else go on first. */
function nextTurn(): Promise<void> {
  return new Promise(resolve => {
    setImmediate(resolve)
  })
}
