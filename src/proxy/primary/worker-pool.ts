/**
 * The workers: forks them, tells them their configuration, replaces those that die, ends them. They share the listening
 * sockets and accept by themselves; no byte of traffic crosses the primary.
 */
import cluster, { type Worker } from 'node:cluster'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type {
  BoundAddress,
  PrimaryMessage,
  QuotaAsk,
  TenantChange,
  WorkerMessage,
  WorkerReport,
} from '../ipc.ts'
import { type PreparedWorker, type PreparedWorkers, setUpWorkers } from './prepared-workers.ts'
import { tenantMessages } from './tenant-stream.ts'
import { WORKER_STATES, type WorkerStateLabel } from './worker-metrics.ts'
import { WorkerSlot } from './worker-slot.ts'

const START_TIMEOUT_MS = 60_000
const APPLY_TIMEOUT_MS = 30_000
const NO_PROCESS = 'the process of a worker cannot be started; tried again'
const CRASH_LOOP = 'crash loop: workers die soon after their start, and the next one waits'

type StartMessage = Extract<PrimaryMessage, { kind: 'start' }>

/** What a worker begins with. */
export interface WorkerStart {
  readonly message: Omit<StartMessage, 'kind' | 'generation' | 'tenantCount'>
  /** All tenants, as a change of none. */
  readonly tenants: TenantChange
}

export interface WorkerPoolOptions {
  /** File that a worker runs. */
  readonly entry: string
  readonly count: number
  /** Workers that are under way already; they are taken first. */
  readonly prepared?: PreparedWorkers | undefined
  readonly clock: Clock
  readonly logger: Logger
  /** What a worker begins with; asked anew for each, so that a replacement gets the configuration of its day. */
  readonly workerStart: () => WorkerStart
  /** A worker serves, and says which journal is its own. */
  readonly onReady: (slot: number, producer: string) => void
  readonly onReport: (slot: number, report: WorkerReport) => void
  /** Answered by `send`. */
  readonly onQuotaAsks: (slot: number, asks: readonly QuotaAsk[]) => void
  /** A worker is gone, and everything that it said has been heard. */
  readonly onGone: (slot: number) => void
  readonly onRestart: () => void
}

export type StartResult =
  | { readonly ok: true; readonly bound: readonly BoundAddress[] }
  /** `configuration`: that is what all problems are about. */
  | { readonly ok: false; readonly configuration: boolean; readonly problems: readonly string[] }

/** What one worker made of its start. */
type Birth =
  | { readonly bound: readonly BoundAddress[] }
  | { readonly configuration: boolean; readonly problems: readonly string[] }

export class WorkerPool {
  readonly #options: WorkerPoolOptions
  readonly #slots: WorkerSlot[]
  /** Of the first generation only: what comes later is replaced, not reported. */
  readonly #births = new Map<WorkerSlot, (birth: Birth) => void>()
  readonly #applying = new Map<WorkerSlot, (problems: readonly string[]) => void>()
  readonly #gone = Promise.withResolvers<void>()
  #applyingGeneration = 0
  #phase: 'starting' | 'running' | 'ending' = 'starting'

  constructor(options: WorkerPoolOptions) {
    this.#options = options
    this.#slots = Array.from({ length: options.count }, (_, index) => new WorkerSlot(index + 1))
  }

  /** Workers that serve. */
  get ready(): number {
    return this.#slots.filter(({ state }) => state === 'ready').length
  }

  /** How many workers are in each state. */
  states(): Record<WorkerStateLabel, number> {
    const counts = Object.fromEntries(WORKER_STATES.map(state => [state, 0]))
    for (const { label } of this.#slots) counts[label] = (counts[label] ?? 0) + 1
    return counts as Record<WorkerStateLabel, number>
  }

  /** Resolves when all workers serve, or as soon as all have said why they do not. Those that do must then be ended. */
  async start(): Promise<StartResult> {
    setUpWorkers(this.#options.entry)
    const births = await Promise.all(this.#slots.map(slot => this.#firstBirth(slot)))
    const failures = births.filter(birth => 'problems' in birth)
    if (failures.length === 0) {
      if (this.#phase === 'starting') this.#phase = 'running'
      // One may have died since it was ready.
      if (this.ready < this.#slots.length) this.#shareLimits()
      return {
        ok: true,
        bound: distinct(births.flatMap(birth => ('bound' in birth ? birth.bound : []))),
      }
    }
    return {
      ok: false,
      configuration: failures.every(({ configuration }) => configuration),
      // All workers meet the same closed door; once is enough.
      problems: [...new Set(failures.flatMap(({ problems }) => problems))],
    }
  }

  /** Says something to the worker of a slot, if there is one. */
  send(slot: number, message: PrimaryMessage): void {
    this.#slots[slot - 1]?.send(message)
  }

  /** Says something to all workers that have been told what to begin with. */
  tell(message: PrimaryMessage): void {
    for (const slot of this.#slots)
      if (slot.state === 'started' || slot.state === 'ready') slot.send(message)
  }

  /**
   * Resolves when every worker that serves has answered, with what any of them could not do. One that is being started takes
   * the change after what it was started with.
   */
  async apply(change: TenantChange): Promise<readonly string[]> {
    this.#applyingGeneration = change.generation
    for (const slot of this.#slots) {
      if (slot.state === 'started') slot.stream(tenantMessages(change))
    }
    const answers = this.#slots
      .filter(({ state }) => state === 'ready')
      .map(slot => this.#applyTo(slot, change))
    return [...new Set((await Promise.all(answers)).flat())]
  }

  /** Tells the workers to end; kills what is still there after `deadlineMs`. Resolves when all are gone. */
  async drain(deadlineMs: number): Promise<void> {
    this.#end()
    for (const slot of this.#slots) slot.ending = true
    for (const slot of this.#slots) {
      // One that has not been told what to do has nothing to end.
      if (slot.state === 'forked') slot.kill()
      else slot.send({ kind: 'drain' })
    }
    const timer = setTimeout(() => {
      this.#options.logger.warn({ deadlineMs }, 'workers did not end in time and are killed')
      for (const slot of this.#slots) slot.kill()
    }, deadlineMs)
    await this.#gone.promise
    clearTimeout(timer)
  }

  /** Ends all workers without asking. Resolves when they are gone. */
  async kill(): Promise<void> {
    this.#end()
    for (const slot of this.#slots) slot.kill()
    await this.#gone.promise
  }

  async #firstBirth(slot: WorkerSlot): Promise<Birth> {
    const { promise, resolve } = Promise.withResolvers<Birth>()
    const timer = setTimeout(() => {
      const seconds = START_TIMEOUT_MS / 1_000
      resolve({
        configuration: false,
        problems: [`worker ${slot.number} was not ready within ${seconds} s`],
      })
    }, START_TIMEOUT_MS)
    this.#births.set(slot, resolve)
    this.#fork(slot)
    const birth = await promise
    clearTimeout(timer)
    this.#births.delete(slot)
    return birth
  }

  async #applyTo(slot: WorkerSlot, change: TenantChange): Promise<readonly string[]> {
    const { promise, resolve } = Promise.withResolvers<readonly string[]>()
    const timer = setTimeout(() => {
      const seconds = APPLY_TIMEOUT_MS / 1_000
      resolve([`worker ${slot.number} did not take the change within ${seconds} s`])
    }, APPLY_TIMEOUT_MS)
    this.#applying.set(slot, resolve)
    slot.stream(tenantMessages(change))
    const problems = await promise
    clearTimeout(timer)
    this.#applying.delete(slot)
    return problems
  }

  #fork(slot: WorkerSlot): void {
    let prepared: PreparedWorker
    try {
      prepared = this.#options.prepared?.take() ?? { worker: cluster.fork(), heard: [] }
    } catch (error) {
      this.#missed(slot, error)
      return
    }
    const { worker, heard } = prepared
    slot.hold(worker, this.#options.clock.monotonic())
    worker.on('message', (message: WorkerMessage) => this.#heard(slot, message))
    worker.on('error', error => {
      // Where there is no process (no descriptor, memory or process id to be had), there will be no exit either.
      if (worker.process.pid === undefined) {
        delete cluster.workers?.[worker.id]
        this.#missed(slot, error)
        return
      }
      this.#options.logger.error({ err: error, worker: slot.number }, 'worker channel failed')
    })
    worker.on('exit', (code, signal) => {
      // The exit may be noticed before the last messages are read; their usage must be billed, too.
      if (worker.isConnected())
        worker.once('disconnect', () => this.#died(slot, worker, { code, signal }))
      else this.#died(slot, worker, { code, signal })
    })
    for (const message of heard) this.#heard(slot, message)
  }

  /** No process could be started: tried again, more and more slowly. */
  #missed(slot: WorkerSlot, error: unknown): void {
    const delayMs = slot.missed(this.#options.clock.monotonic())
    const problem = `worker ${slot.number}: its process cannot be started: ${String(error)}`
    this.#births.get(slot)?.({ configuration: false, problems: [problem] })
    if (this.#phase === 'ending') {
      this.#settleEnd()
      return
    }
    if (this.#phase === 'starting') return
    this.#options.logger.error({ err: error, worker: slot.number, delayMs }, NO_PROCESS)
    slot.restart = setTimeout(() => this.#fork(slot), delayMs)
  }

  #heard(slot: WorkerSlot, message: WorkerMessage): void {
    switch (message.kind) {
      case 'hello':
        if (this.#phase === 'ending') return
        slot.state = 'started'
        this.#startWorker(slot)
        return
      case 'ready':
        slot.state = 'ready'
        this.#options.onReady(slot.number, message.producer)
        if (this.#phase === 'running') this.#shareLimits()
        this.#births.get(slot)?.({ bound: message.bound })
        return
      case 'failed':
        this.#failed(slot, message)
        return
      case 'applied':
        if (message.generation === this.#applyingGeneration)
          this.#applying.get(slot)?.(message.problems)
        return
      case 'quota-asks':
        this.#options.onQuotaAsks(slot.number, message.asks)
        return
      case 'report':
        this.#options.onReport(slot.number, message)
    }
  }

  /** The limits of tenants are divided among those that serve. */
  #shareLimits(): void {
    const { ready } = this
    if (ready === 0) return
    for (const slot of this.#slots)
      if (slot.state === 'ready') slot.send({ kind: 'serving', workers: ready })
  }

  #startWorker(slot: WorkerSlot): void {
    const { message, tenants } = this.#options.workerStart()
    const { generation, changed } = tenants
    slot.send({ kind: 'start', ...message, generation, tenantCount: changed.length })
    slot.stream(tenantMessages(tenants))
  }

  #failed(
    slot: WorkerSlot,
    { reason, problems }: Extract<WorkerMessage, { kind: 'failed' }>,
  ): void {
    const birth = this.#births.get(slot)
    if (birth !== undefined) {
      birth({ configuration: reason === 'configuration', problems })
      return
    }
    this.#options.logger.error({ worker: slot.number, problems }, 'a new worker cannot start')
  }

  #died(
    slot: WorkerSlot,
    worker: Worker,
    how: { code: number | null; signal: string | null },
  ): void {
    const { clock, logger } = this.#options
    const ended = `worker ${slot.number} ended before it was ready (${how.signal ?? `exit code ${how.code}`})`
    const served = slot.state === 'ready'
    this.#births.get(slot)?.({ configuration: false, problems: [ended] })
    this.#applying.get(slot)?.([])
    const delayMs = slot.release(clock.monotonic())
    this.#options.onGone(slot.number)
    if (this.#phase === 'ending') {
      this.#settleEnd()
      return
    }
    // A first start that fails ends the proxy; whoever called start() does that.
    if (this.#phase === 'starting' && !served) return
    const { number, deaths } = slot
    const workerPid = worker.process.pid
    logger.error(
      { worker: number, workerPid, ...how, delayMs, deaths },
      'worker died and is replaced',
    )
    if (delayMs > 0) logger.error({ worker: number, deaths, delayMs }, CRASH_LOOP)
    this.#options.onRestart()
    if (this.#phase === 'running') this.#shareLimits()
    if (delayMs === 0) this.#fork(slot)
    else slot.restart = setTimeout(() => this.#fork(slot), delayMs)
  }

  #end(): void {
    this.#phase = 'ending'
    for (const slot of this.#slots) clearTimeout(slot.restart)
    this.#settleEnd()
  }

  #settleEnd(): void {
    if (this.#slots.every(({ state }) => state === 'gone')) this.#gone.resolve()
  }
}

function distinct(bound: readonly BoundAddress[]): BoundAddress[] {
  const byText = new Map(
    bound.map(address => [
      `${address.listener} ${address.address} ${address.tenant ?? ''}`,
      address,
    ]),
  )
  return [...byText.values()]
}
