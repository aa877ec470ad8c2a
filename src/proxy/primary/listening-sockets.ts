/**
 * The listening sockets of all workers. The primary binds them and keeps them for as long as a worker needs them; workers
 * listen at them and accept by themselves. So what waits in an accept queue outlives the worker that was to take it, also a
 * worker that is alone, and can be handed to the next version of the proxy.
 */
import { type BoundHandle, bindHandle } from '../../runtime/bound-handle.ts'
import type { Place } from '../listener/listening-socket.ts'

type Bound = BoundHandle | string

/** Stands for the workers of the process before, as a number that no worker has. */
const INHERITED = 0

interface Held {
  readonly place: Place
  readonly bound: Promise<Bound>
  /** Numbers of the workers that listen there. */
  readonly holders: Set<number>
}

/** A socket on its way to another process. */
export interface HeldSocket {
  readonly place: Place
  readonly handle: BoundHandle
}

export class ListeningSockets {
  readonly #bind: typeof bindHandle
  /** By `keyOf` the place. */
  readonly #held = new Map<string, Held>()
  /** What the last worker of a number held; the next one asks for it again, or does not. */
  readonly #orphaned = new Map<number, Set<string>>()

  /** `inherited`: what is bound already, for those who want it. */
  constructor(inherited: readonly HeldSocket[] = [], bind: typeof bindHandle = bindHandle) {
    this.#bind = bind
    for (const { place, handle } of inherited)
      this.#held.set(keyOf(place), {
        place,
        bound: Promise.resolve(handle),
        holders: new Set([INHERITED]),
      })
  }

  /** Lets go what was inherited and is wanted by nobody. */
  closeUnwanted(): void {
    this.retired(INHERITED)
  }

  /** What workers listen at. */
  async held(): Promise<readonly HeldSocket[]> {
    const all = [...this.#held.values()].map(async ({ place, bound }) => {
      const handle = await bound
      return typeof handle === 'string' ? [] : [{ place, handle }]
    })
    return (await Promise.all(all)).flat()
  }

  /** For the worker of this number: the bound socket, or the code of the error that stands against it. */
  async take(worker: number, place: Place): Promise<Bound> {
    const key = keyOf(place)
    let held = this.#held.get(key)
    if (held === undefined) {
      held = { place, bound: this.#bind(place.host, place.port), holders: new Set() }
      this.#held.set(key, held)
    }
    held.holders.add(worker)
    this.#orphaned.get(worker)?.delete(key)
    const bound = await held.bound
    if (typeof bound === 'string') this.#leave(worker, key)
    return bound
  }

  /** The worker listens there no more. */
  giveBack(worker: number, place: Place): void {
    this.#leave(worker, keyOf(place))
  }

  /** It died; what it held waits for the worker that takes its number. */
  died(worker: number): void {
    const keys = new Set<string>()
    for (const [key, { holders }] of this.#held) if (holders.has(worker)) keys.add(key)
    this.#orphaned.set(worker, keys)
  }

  /** The worker serves: what it has not asked for it does not need. */
  serves(worker: number): void {
    for (const key of this.#orphaned.get(worker) ?? []) this.#leave(worker, key)
    this.#orphaned.delete(worker)
  }

  /** Nobody takes its number. */
  retired(worker: number): void {
    this.died(worker)
    this.serves(worker)
  }

  #leave(worker: number, key: string): void {
    const held = this.#held.get(key)
    if (held === undefined) return
    held.holders.delete(worker)
    if (held.holders.size > 0) return
    this.#held.delete(key)
    void held.bound.then(close)
  }
}

function close(bound: Bound): void {
  if (typeof bound !== 'string') bound.close()
}

/** Equal for all workers that want the same socket. For port 0 the system chooses one, for each listener another. */
function keyOf({ listener, host = '', port }: Place): string {
  return port === 0 ? `${host} 0 ${listener}` : `${host} ${port}`
}
