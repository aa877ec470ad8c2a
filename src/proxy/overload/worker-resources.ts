/** What a worker has left: looks at its event loop, its memory, its open files and the accept queues of its listeners. */
import { performance } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { AcceptQueues, acceptQueueLimit } from '../../runtime/accept-queue.ts'
import { machineMemory } from '../../runtime/machine-memory.ts'
import { openFiles, openFilesAreCounted, openFilesLimit } from '../../runtime/open-files.ts'
import type { LoadFigures } from './load-monitor.ts'

/** Heap (0.7 µs) and open files (4 µs) are asked each time; what costs more is not. */
const LISTED_FILES_MS = 1_000
/** A loop that is in time has accepted all that came, so the kernel is asked behind a late one: it takes 0.1 ms and more. */
const ACCEPT_QUEUE_MS = 500
const LATE_MS = 10

export interface ResourceOptions {
  /** How often it is looked, in ms. */
  readonly tickMs: number
  /** Bytes of a worker, or by the machine. */
  readonly memory: number | 'auto'
  readonly workers: number
  /** Length that a listener asks for. */
  readonly backlog: number
}

export class WorkerResources {
  readonly #tickMs: number
  readonly #configured: ResourceOptions['memory']
  #memory: number
  readonly #filesLimit = openFilesLimit()
  readonly #filesEvery = openFilesAreCounted() ? 0 : LISTED_FILES_MS
  readonly #queues = new AcceptQueues()
  readonly #queueLimit: number
  #loop = performance.eventLoopUtilization()
  #lookedAt = -1
  #filesAt = Number.NEGATIVE_INFINITY
  #queueAt = Number.NEGATIVE_INFINITY
  #descriptors = 0
  #acceptQueue = 0

  constructor({ tickMs, memory, workers, backlog }: ResourceOptions) {
    this.#tickMs = tickMs
    this.#configured = memory
    this.#memory = memoryOf(memory, workers)
    this.#queueLimit = acceptQueueLimit(backlog)
  }

  /** So many workers share the memory of the machine. */
  share(workers: number): void {
    this.#memory = memoryOf(this.#configured, workers)
  }

  /**
   * At `now`, monotonic, in ms; `ports` are those that are listened at, another set when they change, and `queued` calls wait
   * for their turn.
   */
  look(now: number, ports: ReadonlySet<number>, queued: number): LoadFigures {
    const lagMs = this.#lookedAt < 0 ? 0 : Math.max(0, now - this.#lookedAt - this.#tickMs)
    this.#lookedAt = now
    const loop = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(loop, this.#loop)
    this.#loop = loop
    this.#lookAtFiles(now)
    this.#lookAtQueues(now, lagMs, ports)
    return {
      lagMs,
      cpu: utilization,
      memory: this.#memoryPart(),
      descriptors: this.#descriptors,
      accept_queue: this.#acceptQueue,
      queued,
    }
  }

  #memoryPart(): number {
    const {
      used_heap_size: heap,
      heap_size_limit: most,
      external_memory: outside,
    } = getHeapStatistics() as ReturnType<typeof getHeapStatistics> & { external_memory: number }
    return Math.max(heap / most, (heap + outside) / this.#memory)
  }

  #lookAtFiles(now: number): void {
    if (now - this.#filesAt < this.#filesEvery) return
    this.#filesAt = now
    const files = openFiles()
    this.#descriptors =
      files === undefined || this.#filesLimit === undefined ? 0 : files / this.#filesLimit
  }

  #lookAtQueues(now: number, lagMs: number, ports: ReadonlySet<number>): void {
    if (now - this.#queueAt < ACCEPT_QUEUE_MS) return
    if (lagMs >= LATE_MS) {
      this.#queueAt = now
      this.#acceptQueue = this.#queues.longest(ports, now) / this.#queueLimit
    } else this.#acceptQueue = 0
  }
}

function memoryOf(configured: ResourceOptions['memory'], workers: number): number {
  // The primary takes a part as well.
  return configured === 'auto' ? machineMemory() / (workers + 1) : configured
}
