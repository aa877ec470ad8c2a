/**
 * Processes of workers that are forked before it is known what they are to do: they load their program while the primary
 * reads very many tenants, which on two cores is a fifth of a cold start.
 */
import cluster, { type Worker } from 'node:cluster'
import { fileURLToPath } from 'node:url'
import type { WorkerMessage } from '../ipc.ts'
import { TenantsAhead } from './tenants-ahead.ts'

/**
 * Calls leave text behind that nobody needs a moment later. With a larger young generation it is swept less often, and
 * less of it survives by accident. Two runs of the bench, lane http1-api-key: 59.6 µs a call without (raw spike 35.0), 54.3 with
 * (raw spike 35.4). They are runs of their own, and spread by a third: an indication, no proof. Nor does it shrink to a
 * megabyte in a quiet moment, to be swept all the time in the next one.
 */
const YOUNG_GENERATION = ['--min-semi-space-size=16', '--max-semi-space-size=64'] as const

/**
 * There is a worker a core, so threads that mark and sweep beside it take their time from it or from another one, in slices of
 * up to 4 ms while calls wait; by itself it marks in steps of 0.1 ms. The 99th percentile of a quiet tenant beside slow readers
 * is 2.8 ms instead of 4.9, beside new TLS connections 1.9 instead of 3.0 (`npm run bench:isolation`, AMT alone).
 */
const NO_THREADS_OF_GC = '--single-threaded-gc'

/**
 * V8 takes it that a heap need not grow by more than a quarter, since to mark all of it once in a while is 3 % of the time at most.
 * Where tenants come and go, each with 8 KB (4 by now) that lives for a minute or two, that is a collection every ten seconds, which at
 * 10,000 of them in turn took 1.8 µs of a call. It may double: 0.6 µs (`npm run bench:scale`, by perf). A worker that has used 80 %
 * of its memory collects garbage all the same, see `overload`.
 */
const OLD_GENERATION = '--heap-growing-percent=100'

/** Nobody asks in a worker what a callback is part of, and to say so costs each of them: 0.4 µs of a call (2 %). */
const NO_ASYNC_CONTEXT = '--no-async-context-frame'

const WORKER_FLAGS = [
  '--disable-warning=ExperimentalWarning',
  ...YOUNG_GENERATION,
  NO_THREADS_OF_GC,
  OLD_GENERATION,
  NO_ASYNC_CONTEXT,
  // For the moment between reading very many tenants and serving them.
  '--expose-gc',
] as const

/** A worker, and what it said while nobody listened. */
export interface PreparedWorker {
  readonly worker: Worker
  readonly heard: readonly WorkerMessage[]
  /** Tenants that it has got. */
  readonly ahead: number
}

interface WaitingWorker {
  readonly worker: Worker
  readonly heard: WorkerMessage[]
  /** Ends of pieces that it has not been told of. */
  readonly untold: number[]
}

/** As Node has it by itself; what stands behind it has the number of its place. */
const STDIO = ['inherit', 'inherit', 'inherit', 'ipc'] as const

/** How workers are forked from now on; `entry` is the file that they run, `aheadFd` what they have open as `AHEAD_FD`. */
export function setUpWorkers(entry: string, aheadFd?: number): void {
  cluster.schedulingPolicy = cluster.SCHED_NONE
  cluster.setupPrimary({
    exec: entry,
    args: [],
    execArgv: [...WORKER_FLAGS],
    serialization: 'json',
    stdio: aheadFd === undefined ? [...STDIO] : [...STDIO, aheadFd],
  })
}

/** Beside this folder, in the form that this file has itself: TypeScript in a checkout, JavaScript in the package. */
export function workerEntry(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return fileURLToPath(new URL(`../worker/main.${extension}`, import.meta.url))
}

export class PreparedWorkers {
  readonly #waiting: WaitingWorker[] = []
  readonly #ahead = TenantsAhead.open()
  /** Who was told last. */
  #turn = 0

  /** Forks so many now. */
  constructor(count: number, entry: string = workerEntry()) {
    setUpWorkers(entry, this.#ahead?.fd)
    for (let index = 0; index < count; index += 1) {
      const worker = cluster.fork()
      const heard: WorkerMessage[] = []
      worker.on('message', (message: WorkerMessage) => heard.push(message))
      worker.on('error', () => {})
      this.#waiting.push({ worker, heard, untold: [] })
    }
  }

  /** A text of `encodeTenant`: very many come to the workers while others are still read. */
  add(text: string): void {
    const end = this.#ahead?.add(text)
    if (end === undefined) return
    for (const { untold } of this.#waiting) untold.push(end)
    // All at once would take the CPU from who reads.
    this.#turn = (this.#turn + 1) % this.#waiting.length
    tell(this.#waiting[this.#turn])
  }

  /** There are no more. */
  allAdded(): void {
    if (this.#ahead === undefined) return
    const end = this.#ahead.finish()
    for (const waiting of this.#waiting) {
      if (end !== undefined) waiting.untold.push(end)
      tell(waiting)
    }
  }

  /** One that lives, for whoever listens to it from now on; undefined where there is none left. */
  take(): PreparedWorker | undefined {
    const next = this.#waiting.shift()
    if (next === undefined) return undefined
    next.worker.removeAllListeners('message')
    next.worker.removeAllListeners('error')
    if (next.worker.isDead() || !next.worker.isConnected()) return this.take()
    const { worker, heard } = next
    return { worker, heard, ahead: this.#ahead?.count ?? 0 }
  }

  /** Ends those that nobody took. Once. */
  end(): void {
    this.#ahead?.close()
    for (const { worker } of this.#waiting.splice(0)) worker.process.kill('SIGKILL')
  }
}

function tell(waiting: WaitingWorker | undefined): void {
  if (waiting?.worker.isConnected() !== true) return
  const ends = waiting.untold.splice(0)
  waiting.worker.send({ kind: 'ahead', ends }, () => {})
}
