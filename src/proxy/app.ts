/**
 * Composition root of the proxy's primary process: puts the parts together and takes them through start, service, drain
 * and end. The primary forwards no traffic; that is what the workers do.
 */
import { randomUUID } from 'node:crypto'
import { availableParallelism } from 'node:os'
import type { ConfigStore, TenantDifference } from '../config/config-store.ts'
import type { Config } from '../config/schema.ts'
import { systemClock } from '../runtime/clock.ts'
import { giveBackMemory } from '../runtime/collect-garbage.ts'
import type { Logger } from '../runtime/logger.ts'
import { createMixerClient, type MixerClient } from '../runtime/mixer-client.ts'
import { packageVersion } from '../runtime/package-version.ts'
import { onSignals } from '../runtime/signals.ts'
import { randomInstance } from './forward/via.ts'
import type { WorkerReport } from './ipc.ts'
import { AccessLogFile } from './primary/access-log-file.ts'
import { AdminRefusals } from './primary/admin-refusals.ts'
import { adminRoutes } from './primary/admin-routes.ts'
import { AdminServer } from './primary/admin-server.ts'
import { ApiKeyExpiry } from './primary/api-key-expiry.ts'
import { ApiKeyUses } from './primary/api-key-uses.ts'
import { LiveState } from './primary/live-state.ts'
import { MachineWatch } from './primary/machine-watch.ts'
import type { MetricReader } from './primary/metric-tables.ts'
import { ProxyMetrics } from './primary/metrics.ts'
import { OperatorDesk } from './primary/operator-desk.ts'
import { workerEntry } from './primary/prepared-workers.ts'
import { PrimaryEnd, workerDeadlineOf } from './primary/primary-end.ts'
import { PrimaryTls } from './primary/primary-tls.ts'
import { proxyStateReaders } from './primary/proxy-state-metrics.ts'
import { QuotaRelay } from './primary/quota-relay.ts'
import { type Enforced, Reloader } from './primary/reloader.ts'
import { SourceWatcher } from './primary/source-watcher.ts'
import { TenantLabels } from './primary/tenant-labels.ts'
import { TenantView } from './primary/tenant-view.ts'
import { Succession } from './primary/upgrade/succession.ts'
import { WorkerMetrics } from './primary/worker-metrics.ts'
import { WorkerPool } from './primary/worker-pool.ts'
import type { StartResult, WorkerStart } from './primary/worker-pool-options.ts'
import { tenantsToBegin } from './primary/worker-start.ts'
import type { ProxyOptions, ProxyResult } from './proxy-options.ts'
import { proxyName } from './registration/proxy-name.ts'
import { Registrar } from './registration/registrar.ts'
import { JournalShipper } from './shipping/journal-shipper.ts'

/** Asking for quotas fails soon: nobody waits, but what is spent meanwhile is not yet taken. */
const QUOTA_TIMEOUT_MS = 2_000
/** From here on it is worth a quarter of a second, in which no worker waits for this process. */
const VERY_MANY_TENANTS = 10_000
/** For workers that found no way to start while others did. */
const FAILED_START_DRAIN_MS = 2_000

/** Runs the proxy until a signal or `POST /drain` ends it. Resolves when nothing of it is left; never rejects. */
export async function runProxy(options: ProxyOptions): Promise<ProxyResult> {
  return new ProxyPrimary(options).run()
}

class ProxyPrimary {
  readonly #options: ProxyOptions
  readonly #logger: Logger
  readonly #live: LiveState
  readonly #metrics: ProxyMetrics
  readonly #client: MixerClient
  readonly #quotaClient: MixerClient
  readonly #quotas: QuotaRelay
  readonly #shipper: JournalShipper
  readonly #registrar: Registrar
  readonly #reloader: Reloader
  readonly #workerMetrics = new WorkerMetrics(() => this.#pool.states())
  readonly #pool: WorkerPool
  readonly #admin: AdminServer
  readonly #adminRefusals: AdminRefusals
  readonly #operator: OperatorDesk
  readonly #machine: MachineWatch
  readonly #keyExpiry: ApiKeyExpiry
  readonly #keyUses = new ApiKeyUses({ clock: systemClock, text: id => this.#store.text(id) })
  readonly #tls: PrimaryTls
  readonly #accessLog: AccessLogFile
  readonly #instance = randomInstance()
  readonly #store: ConfigStore
  readonly #tenants: TenantView
  readonly #succession: Succession
  readonly #ended = Promise.withResolvers<number>()
  readonly #end: PrimaryEnd
  /** Of an end that was asked for. */
  #exitCode = 0
  #phase: 'starting' | 'ready' | 'draining' = 'starting'

  constructor(options: ProxyOptions) {
    this.#options = options
    this.#logger = options.logger
    this.#store = options.store
    this.#tenants = new TenantView(this.#store)
    const { config } = this.#store
    this.#client = createMixerClient(config.mixer)
    this.#quotaClient = createMixerClient({ ...config.mixer, timeoutMs: QUOTA_TIMEOUT_MS })
    this.#keyExpiry = new ApiKeyExpiry({ clock: systemClock, logger: this.#logger })
    this.#live = new LiveState(systemClock, new TenantLabels(config.metrics.tenants))
    this.#adminRefusals = new AdminRefusals({ clock: systemClock, logger: this.#logger })
    this.#operator = new OperatorDesk({
      clock: systemClock,
      logger: this.#logger,
      logLevel: () => this.#store.config.log.level,
      activeOf: tenant => this.#live.activeOf(tenant),
      isTenant: tenant => this.#store.text(tenant) !== undefined,
      workers: () => this.#pool,
    })
    this.#machine = new MachineWatch({
      clock: systemClock,
      logger: this.#logger,
      config: () => this.#store.config,
      workers: this.#workersWanted(config),
    })
    this.#metrics = new ProxyMetrics({
      live: this.#live,
      others: [
        ...this.#workerMetrics.readers(),
        ...this.#keyExpiry.readers(),
        ...this.#stateReaders(),
        ...this.#adminRefusals.readers(),
        ...this.#operator.readers(),
        ...this.#machine.readers(),
      ],
      now: () => systemClock.now(),
      backlog: () => {
        const { bytesPending, lagMs } = this.#shipper.status()
        return { bytes: bytesPending, lagMs }
      },
    })
    const { logger } = options
    const tls = { clock: systemClock, logger, metrics: this.#metrics.tls }
    const tickets = options.succession?.inheritance?.tickets
    this.#tls = new PrimaryTls(
      { ...tls, tickets, tell: message => this.#pool.tell(message) },
      config,
    )
    const { accessLog: metrics } = this.#metrics
    const reopen = (): void => this.#operator.tell({ kind: 'reopen-logs' })
    this.#accessLog = new AccessLogFile({ log: config.log, logger, metrics, reopen })
    const proxy = proxyName(config.mixer.journal, randomUUID())
    this.#shipper = this.#createShipper(proxy)
    this.#registrar = new Registrar({
      client: this.#client,
      proxy,
      service: config.service.name,
      clock: systemClock,
      logger: this.#logger,
    })
    this.#quotas = new QuotaRelay({
      client: this.#quotaClient,
      logger: this.#logger,
      answer: (slot, answers) => this.#pool.send(slot, { kind: 'quota-answers', answers }),
      onResult: result => this.#metrics.allocated(result),
    })
    this.#reloader = this.#createReloader()
    this.#end = new PrimaryEnd({
      config: () => this.#store.config,
      pool: () => this.#pool,
      shipper: this.#shipper,
    })
    this.#succession = this.#createSuccession()
    this.#pool = this.#createPool()
    this.#admin = this.#createAdmin()
    this.#metrics.generation = this.#reloader.generation
  }

  async run(): Promise<ProxyResult> {
    const signals = this.#options.signals ?? onSignals
    const stopListening = signals({
      stop: signal => this.#stop(signal),
      reload: () => void this.#reloader.reload('signal'),
      reopenLogs: () => this.#accessLog.reopen(),
      upgrade: () => this.#succession.upgrade(),
    })
    const watcher = await this.#start()
    // Of those that were meant for it; what could not even start takes none.
    this.#options.prepared?.end()
    const exitCode = await this.#ended.promise
    watcher?.close()
    stopListening()
    this.#accessLog.close()
    this.#keyExpiry.close()
    this.#operator.close()
    this.#machine.close()
    this.#tls.close()
    this.#registrar.close()
    this.#quotas.close()
    await this.#quotaClient.close()
    await this.#shipper.close(0)
    await this.#client.close()
    await this.#admin.close()
    await this.#succession.end()
    this.#logger.info({ exitCode }, 'ended')
    return { exitCode }
  }

  async #start(): Promise<SourceWatcher | undefined> {
    const short = this.#machine.check()
    if (short.length > 0) {
      this.#fail(short, 1)
      return undefined
    }
    const unusable = this.#tls.start()
    if (unusable.length > 0) {
      this.#fail(unusable, 2)
      return undefined
    }
    const problem = await this.#succession.open()
    if (problem !== undefined) this.#fail([problem], 1)
    if (problem !== undefined || this.#phase !== 'starting') return undefined
    const workers = await this.#pool.start()
    // Stopped meanwhile: whoever did that also sees to the end.
    if (this.#phase !== 'starting') return undefined
    if (!workers.ok) {
      await this.#failToStart(workers)
      return undefined
    }
    await this.#succession.takeOver()
    if (this.#phase !== 'starting') return undefined
    this.#phase = 'ready'
    this.#accessLog.start()
    const { service, tenantSources } = this.#store.config
    this.#succession.begin()
    this.#logger.info(
      {
        service: service.name,
        bound: workers.bound,
        admin: this.#succession.adminAddress,
        workers: this.#pool.count,
        tenants: this.#store.size,
      },
      'ready',
    )
    const watcher = new SourceWatcher({
      sources: tenantSources,
      logger: this.#logger,
      onChange: touched => void this.#reloader.reload('watch', touched),
    })
    // Behind what is said of the start; before, and not while, the first changes come.
    setImmediate(() => this.#settle(watcher))
    void this.#registrar.start(this.#store.texts(), this.#store.size)
    // A reload that came during the start found no workers that it could make more or fewer.
    if (this.#workersWanted(this.#store.config) !== this.#pool.count)
      void this.#reloader.reload('start')
    return watcher
  }

  #settle(watcher: SourceWatcher): void {
    if (this.#phase !== 'ready') return
    // A look at each tenant: 0.15 s with very many, for which the start does not wait.
    this.#keyExpiry.update({ changed: this.#store.texts(), removed: [] })
    this.#machine.start(this.#store.texts())
    if (this.#store.size >= VERY_MANY_TENANTS) giveBackMemory()
    // What changed after it was read and before it was watched was heard by nobody.
    watcher.suspect(this.#store.outdated())
  }

  async #failToStart({
    problems,
    configuration,
  }: Extract<StartResult, { ok: false }>): Promise<void> {
    this.#phase = 'draining'
    await this.#end.drainWorkers(FAILED_START_DRAIN_MS)
    this.#fail(problems, configuration ? 2 : 1)
  }

  #fail(problems: readonly string[], exitCode: number): void {
    for (const problem of problems) this.#logger.error({ problem }, 'cannot start')
    void this.#succession.refuse(problems, exitCode).then(() => this.#ended.resolve(exitCode))
  }

  /** The first time drains; the second time there is somebody who does not want to wait for that. */
  #stop(cause: string): void {
    if (this.#phase !== 'draining') {
      this.#phase = 'draining'
      this.#logger.info({ cause }, 'draining')
      this.#succession.close()
      void this.#end.drain(this.#store.config.drain.grace).then(this.#isOver)
      return
    }
    this.#logger.warn({ cause }, 'stopping at once')
    this.#exitCode = 1
    void this.#end.now().then(this.#isOver)
  }

  readonly #isOver = (): void => this.#ended.resolve(this.#exitCode)

  #stateReaders(): MetricReader[] {
    const version = packageVersion()
    return proxyStateReaders(() => ({
      version,
      service: this.#store.config.service.name,
      draining: this.#phase === 'draining',
      tenants: this.#store.size,
    }))
  }

  #createSuccession(): Succession {
    return new Succession({
      settings: this.#options.succession ?? {},
      logger: this.#logger,
      journal: this.#store.config.mixer.journal,
      shipper: this.#shipper,
      phase: () => this.#phase,
      admin: () => this.#admin,
      tickets: () => this.#tls.ticketsLeft,
      drains: this.#operator.drains,
      letGo: () => {
        this.#phase = 'draining'
        this.#registrar.close()
        this.#accessLog.follow()
        void this.#admin.close()
      },
      // The listeners live on in another process: nobody has to look elsewhere.
      drain: () => void this.#end.drain(0).then(this.#isOver),
    })
  }

  #createShipper(proxy: string): JournalShipper {
    return new JournalShipper({
      folder: this.#store.config.mixer.journal,
      client: this.#client,
      proxy,
      clock: systemClock,
      logger: this.#logger,
      onResult: result => this.#metrics.reported(result),
    })
  }

  #createReloader(): Reloader {
    return new Reloader({
      store: this.#store,
      apply: async change => this.#apply(change),
      settle: () => this.#pool.changes.settle(),
      resize: async config => this.#resize(config),
      logger: this.#logger,
      files: this.#tls,
      onRefused: () => this.#metrics.configRefused(),
      onChange: (difference, generation) => this.#tenantsChanged(difference, generation),
    })
  }

  #workersWanted({ workers }: Pick<Config, 'workers'>): number {
    return this.#options.workers ?? (workers === 'auto' ? availableParallelism() : workers)
  }

  async #resize(config: Config): Promise<readonly string[]> {
    return this.#pool.resize(this.#workersWanted(config), workerDeadlineOf(config))
  }

  async #apply({ tenants, generation, listeners }: Enforced): Promise<readonly string[]> {
    const { limits, listeners: configs } = this.#store.config
    const change = { ...tenants, limits, generation }
    return this.#pool.changes.apply(
      listeners ? { ...change, listeners: { configs, materials: this.#tls.upcoming } } : change,
    )
  }

  #createPool(): WorkerPool {
    return new WorkerPool({
      entry: this.#options.workerEntry ?? workerEntry(),
      count: this.#workersWanted(this.#store.config),
      prepared: this.#options.prepared,
      sockets: this.#succession.sockets,
      clock: systemClock,
      logger: this.#logger,
      workerStart: ahead => this.#workerStart(ahead),
      onReady: (slot, producer) => this.#shipper.claim(slot, producer),
      onReport: (slot, report) => this.#record(slot, report),
      onAnswer: answer => this.#operator.answered(answer),
      onQuotaAsks: (slot, asks) => this.#quotas.ask(slot, asks),
      onGone: slot => this.#gone(slot),
      onRestart: () => this.#metrics.workerRestarted(),
      silence: this.#store.config.timeouts.worker,
      onHang: () => this.#workerMetrics.hung(),
    })
  }

  #workerStart(given: number): WorkerStart {
    const { tenants: _, ...config } = this.#store.config
    const [workers, instance] = [this.#pool.count, this.#instance]
    return {
      message: { config, workers, instance, ...this.#operator.forWorker, ...this.#tls.forWorker },
      ...tenantsToBegin(this.#store, this.#reloader.generation, given),
    }
  }

  #createAdmin(): AdminServer {
    const routes = adminRoutes({
      phase: () => this.#phase,
      workers: () => ({ ready: this.#pool.ready, count: this.#pool.count }),
      config: () => this.#store.config,
      tenants: this.#tenants,
      metrics: this.#metrics,
      live: this.#live,
      shipper: this.#shipper,
      quotas: this.#quotas,
      keyUses: this.#keyUses,
      operator: this.#operator,
      reload: async () => this.#reloader.reload('admin'),
      drain: () => {
        if (this.#phase !== 'draining') this.#stop('admin')
      },
    })
    const { address, token } = this.#store.config.admin
    const [logger, refusals] = [this.#logger, this.#adminRefusals]
    return new AdminServer({ address, token, routes, logger, refusals })
  }

  #record(slot: number, report: WorkerReport): void {
    this.#live.record(slot, report)
    this.#metrics.record(report)
    this.#workerMetrics.record(slot, report)
    this.#machine.record(report)
    this.#keyUses.record(report.keyUses)
    this.#shipper.count(slot, report.journal.producer, report.usage)
  }

  #gone(slot: number): void {
    this.#live.forget(slot)
    this.#operator.workerGone(slot)
    this.#workerMetrics.forget(slot)
    this.#succession.workerGone(slot)
    this.#shipper.workerGone(slot)
  }

  #tenantsChanged(difference: TenantDifference, generation: number): void {
    this.#metrics.generation = generation
    if (this.#phase !== 'starting') this.#registrar.update(difference)
    this.#tenants.changed()
    this.#metrics.forget(difference.removed)
    this.#quotas.forget(difference.removed)
    this.#operator.forget(difference.removed)
    this.#keyUses.forget(difference.removed)
    this.#keyExpiry.update(difference)
    this.#machine.update(difference)
    for (const id of difference.removed) this.#live.forgetEndpointsOf(id)
  }
}
