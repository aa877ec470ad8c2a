/**
 * The workers: forks them, tells them their configuration, replaces those that die, makes them more or fewer, ends them.
 * They share the listening sockets and accept by themselves; no byte of traffic crosses the primary.
 */
import type { BoundAddress, PrimaryMessage, WorkerMessage } from '../ipc.ts'
import type { ListeningSockets } from './listening-sockets.ts'
import { setUpWorkers } from './prepared-workers.ts'
import { SlotAnswers } from './slot-answers.ts'
import { tenantMessages } from './tenant-stream.ts'
import { WorkerChanges } from './worker-changes.ts'
import type { WorkerStateLabel } from './worker-metrics.ts'
import type { StartResult, WorkerPoolOptions } from './worker-pool-options.ts'
import { type Death, forkWorker } from './worker-process.ts'
import type { WorkerSlot } from './worker-slot.ts'
import { WorkerSlots } from './worker-slots.ts'
import { WorkerWatch } from './worker-watch.ts'

const START_TIMEOUT_MS = 60_000
const NO_PROCESS = 'the process of a worker cannot be started; tried again'
const CRASH_LOOP = 'crash loop: workers die soon after their start, and the next one waits'

/** What one worker made of its start. */
type Birth =
  | { readonly bound: readonly BoundAddress[] }
  | { readonly configuration: boolean; readonly problems: readonly string[] }

export class WorkerPool {
  readonly #options: WorkerPoolOptions
  readonly #slots = new WorkerSlots()
  /** Of those that somebody waits for; whatever becomes of a replacement is logged. */
  readonly #births = new SlotAnswers<Birth>()
  /** Changes of the configuration, for those that serve and those that begin. */
  readonly changes: WorkerChanges
  readonly #gone = Promise.withResolvers<void>()
  readonly #sockets: ListeningSockets
  readonly #watch: WorkerWatch
  #phase: 'starting' | 'running' | 'ending' = 'starting'

  constructor(options: WorkerPoolOptions) {
    this.#options = options
    this.#sockets = options.sockets
    this.#slots.add(options.count)
    this.changes = new WorkerChanges(() => this.#slots.all)
    const { silence, logger, onHang } = options
    this.#watch = new WorkerWatch({ slots: () => this.#slots.all, silence, logger, onHang })
  }

  /** How many workers there are to be. */
  get count(): number {
    return this.#slots.staying.length
  }

  /** Workers that serve. */
  get ready(): number {
    return this.#slots.serving.length
  }

  /** How many workers are in each state. */
  states(): Record<WorkerStateLabel, number> {
    return this.#slots.states()
  }

  /** Resolves when all workers serve, or as soon as all have said why they do not. Those that do must then be ended. */
  async start(): Promise<StartResult> {
    setUpWorkers(this.#options.entry)
    this.#watch.start()
    const births = await Promise.all(this.#slots.all.map(slot => this.#birthOf(slot)))
    const failures = births.filter(birth => 'problems' in birth)
    if (failures.length === 0) {
      if (this.#phase === 'starting') this.#phase = 'running'
      // One may have died since it was ready.
      if (this.ready < this.count) this.#shareLimits()
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

  /** Numbers of the workers that serve, or are ending what they have. */
  get serving(): number[] {
    return this.#slots.all.filter(({ state }) => state === 'ready').map(({ number }) => number)
  }

  /** Says something to the worker of a slot, if there is one. */
  send(slot: number, message: PrimaryMessage): void {
    const asked = this.#slots.byNumber(slot)
    if (message.kind === 'operator' && message.order.kind === 'profile') this.#watch.excuse(asked)
    asked?.send(message)
  }

  /** Says something to all workers that have been told what to begin with. */
  tell(message: PrimaryMessage): void {
    for (const slot of this.#slots.all)
      if (slot.state === 'started' || slot.state === 'ready') slot.send(message)
  }

  /**
   * From now on so many: new ones are started, or those with the highest numbers end as in a drain, and are killed after
   * `deadlineMs`. Resolves when the new ones serve and the others have been told, with what kept new ones from serving: then
   * there are as many as before. One at a time.
   */
  async resize(count: number, deadlineMs: number): Promise<readonly string[]> {
    if (this.#phase !== 'running') return []
    const { staying } = this.#slots
    for (const slot of staying.slice(count)) this.#retire(slot, deadlineMs)
    const born = this.#slots.add(count - staying.length)
    if (born.length === 0) {
      if (count < staying.length) this.#shareLimits()
      return []
    }
    const births = await Promise.all(born.map(slot => this.#birthOf(slot)))
    const problems = births.flatMap(birth => ('problems' in birth ? birth.problems : []))
    if (problems.length > 0) for (const slot of born) this.#retire(slot, deadlineMs)
    this.#shareLimits()
    return [...new Set(problems)]
  }

  /** Tells the workers to end; kills what is still there after `deadlineMs`. Resolves when all are gone. */
  async drain(deadlineMs: number): Promise<void> {
    this.#end()
    for (const slot of this.#slots.staying) slot.drain()
    const timer = setTimeout(() => {
      this.#options.logger.warn({ deadlineMs }, 'workers did not end in time and are killed')
      for (const slot of this.#slots.all) slot.kill()
    }, deadlineMs)
    await this.#gone.promise
    clearTimeout(timer)
  }

  /** Ends all workers without asking. Resolves when they are gone. */
  async kill(): Promise<void> {
    this.#end()
    for (const slot of this.#slots.all) slot.kill()
    await this.#gone.promise
  }

  #retire(slot: WorkerSlot, deadlineMs: number): void {
    const { logger } = this.#options
    logger.info({ worker: slot.number }, 'worker is to end')
    slot.drain()
    slot.deadline = setTimeout(() => {
      logger.warn({ worker: slot.number, deadlineMs }, 'worker did not end in time and is killed')
      slot.kill()
    }, deadlineMs)
    if (slot.state === 'gone') this.#remove(slot)
  }

  #remove(slot: WorkerSlot): void {
    clearTimeout(slot.deadline)
    this.#slots.remove(slot)
  }

  async #birthOf(slot: WorkerSlot): Promise<Birth> {
    const late = `worker ${slot.number} was not ready within ${START_TIMEOUT_MS / 1_000} s`
    const birth = this.#births.wait(slot, START_TIMEOUT_MS, {
      configuration: false,
      problems: [late],
    })
    this.#fork(slot)
    return birth
  }

  #fork(slot: WorkerSlot): void {
    const { clock, logger, prepared } = this.#options
    forkWorker(prepared, {
      forked: (worker, ahead) => slot.hold(worker, clock.monotonic(), ahead),
      heard: message => this.#heard(slot, message),
      failed: error => {
        logger.error({ err: error, worker: slot.number }, 'worker channel failed')
      },
      missed: error => this.#missed(slot, error),
      died: death => this.#died(slot, death),
    })
  }

  #heard(slot: WorkerSlot, message: WorkerMessage): void {
    slot.silence.heard()
    switch (message.kind) {
      case 'hello':
        if (slot.ending) return
        slot.state = 'started'
        this.#startWorker(slot)
        return
      case 'ready':
        slot.state = 'ready'
        this.#sockets.serves(slot.number)
        this.#options.onReady(slot.number, message.producer)
        if (this.#phase === 'running') this.#shareLimits()
        this.#births.answer(slot, { bound: message.bound })
        return
      case 'failed':
        this.#failed(slot, message)
        return
      case 'applied':
        this.changes.applied(slot, message)
        return
      case 'profile-piece':
      case 'connections':
        this.#options.onAnswer(message)
        return
      case 'quota-asks':
        this.#options.onQuotaAsks(slot.number, message.asks)
        return
      case 'listen':
        void this.#listen(slot, message)
        return
      case 'unlisten':
        this.#sockets.giveBack(slot.number, message.place)
        return
      case 'report':
        this.#options.onReport(slot.number, message)
    }
  }

  async #listen(
    slot: WorkerSlot,
    { id, place }: Extract<WorkerMessage, { kind: 'listen' }>,
  ): Promise<void> {
    const { worker } = slot
    const bound = await this.#sockets.take(slot.number, place)
    if (slot.worker !== worker) return
    if (typeof bound === 'string') slot.send({ kind: 'socket', id, error: bound })
    else slot.send({ kind: 'socket', id }, bound)
  }

  /** The limits of tenants are divided among those that serve, and the memory of the machine among those that are to be. */
  #shareLimits(): void {
    const { ready, count } = this
    for (const slot of this.#slots.serving) slot.send({ kind: 'serving', workers: ready, count })
  }

  #startWorker(slot: WorkerSlot): void {
    const { message, ahead, tenants } = this.#options.workerStart(slot.ahead)
    slot.send({ kind: 'start', ...message, generation: tenants.generation, ahead })
    slot.stream(tenantMessages(tenants))
  }

  #failed(
    slot: WorkerSlot,
    { reason, problems }: Extract<WorkerMessage, { kind: 'failed' }>,
  ): void {
    if (this.#births.isAwaited(slot)) {
      this.#births.answer(slot, { configuration: reason === 'configuration', problems })
      return
    }
    this.#options.logger.error({ worker: slot.number, problems }, 'a new worker cannot start')
  }

  /** No process could be started: tried again, more and more slowly. */
  #missed(slot: WorkerSlot, error: unknown): void {
    const { clock, logger } = this.#options
    const unborn = this.#births.isAwaited(slot)
    const problem = `worker ${slot.number}: its process cannot be started: ${String(error)}`
    this.#births.answer(slot, { configuration: false, problems: [problem] })
    const delayMs = slot.missed(clock.monotonic())
    if (this.#isOver(slot, unborn)) return
    logger.error({ err: error, worker: slot.number, delayMs }, NO_PROCESS)
    slot.restart = setTimeout(() => this.#fork(slot), delayMs)
  }

  #died(slot: WorkerSlot, { pid: workerPid, ...how }: Death): void {
    const { clock, logger } = this.#options
    const { number } = slot
    const ended = `worker ${number} ended before it was ready (${how.signal ?? `exit code ${how.code}`})`
    // Of a first start also one that has said why it fails, while others have not yet.
    const unborn =
      this.#births.isAwaited(slot) || (this.#phase === 'starting' && slot.state !== 'ready')
    this.#births.answer(slot, { configuration: false, problems: [ended] })
    this.changes.gone(slot)
    this.#sockets.died(number)
    const delayMs = slot.release(clock.monotonic())
    this.#options.onGone(number)
    if (this.#isOver(slot, unborn)) return
    const { deaths } = slot
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

  /** Whether nobody comes after the worker that is gone. */
  #isOver(slot: WorkerSlot, unborn: boolean): boolean {
    if (this.#phase === 'ending' || slot.ending || unborn) this.#sockets.retired(slot.number)
    if (this.#phase === 'ending') {
      this.#settleEnd()
      return true
    }
    if (!slot.ending) return unborn // whoever waited for it has been told, and decides
    this.#options.logger.info({ worker: slot.number }, 'worker has ended')
    this.#remove(slot)
    return true
  }

  #end(): void {
    this.#phase = 'ending'
    for (const slot of this.#slots.all) clearTimeout(slot.restart)
    this.#settleEnd()
  }

  #settleEnd(): void {
    if (!this.#slots.all.every(({ state }) => state === 'gone')) return
    for (const { deadline } of this.#slots.all) clearTimeout(deadline)
    this.#watch.close()
    this.#gone.resolve()
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
