/**
 * Asks workers which connections of a tenant they have. One that does not answer in time is shown as silent: it may be busy,
 * or about to die, and nobody waits longer for that.
 */
import type { PrimaryMessage } from '../ipc.ts'
import type { ConnectionList } from '../worker/connection-list.ts'

/** A worker that has not answered by then is named as silent: a busy one may be, and whoever asks waits for this long at most. */
const ANSWER_MS = 2_000
/** Questions that wait, whoever asks; beyond that all workers are silent. */
const MOST_WAITING = 256

export interface AskedWorkers {
  /** Numbers of those that serve. */
  readonly serving: readonly number[]
  readonly send: (worker: number, message: PrimaryMessage) => void
}

export interface WorkerConnections {
  readonly worker: number
  /** Undefined where it is silent. */
  readonly list: ConnectionList | undefined
}

export class ConnectionQuestions {
  readonly #workers: () => AskedWorkers
  readonly #waiting = new Map<number, (list: ConnectionList | undefined) => void>()
  #next = 1

  constructor(workers: () => AskedWorkers) {
    this.#workers = workers
  }

  /** Of each worker that serves, `limit` at most of each. Never rejects. */
  async of(tenant: string, limit: number): Promise<WorkerConnections[]> {
    const { serving } = this.#workers()
    return Promise.all(
      serving.map(async worker => ({ worker, list: await this.#ask(worker, tenant, limit) })),
    )
  }

  /** `id` is that of the question; an answer that comes too late is nobody's. */
  answered(id: number, list: ConnectionList): void {
    this.#waiting.get(id)?.(list)
  }

  async #ask(worker: number, tenant: string, limit: number): Promise<ConnectionList | undefined> {
    if (this.#waiting.size >= MOST_WAITING) return undefined
    const id = this.#next++
    const { promise, resolve } = Promise.withResolvers<ConnectionList | undefined>()
    this.#waiting.set(id, resolve)
    const timer = setTimeout(() => resolve(undefined), ANSWER_MS)
    const order = { kind: 'list-connections', id, tenant, limit } as const
    this.#workers().send(worker, { kind: 'operator', order })
    const list = await promise
    clearTimeout(timer)
    this.#waiting.delete(id)
    return list
  }
}
