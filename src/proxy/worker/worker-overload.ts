/** Overload protection of a worker, put together: what looks at its load, and what it has that can be made smaller. */
import { collectGarbage } from '../../runtime/collect-garbage.ts'
import type { TurnClock } from '../../runtime/turn-clock.ts'
import type { WorkerConfig } from '../ipc.ts'
import { BACKLOG } from '../listener/listening-socket.ts'
import { Overload } from '../overload/overload.ts'
import { WorkerResources } from '../overload/worker-resources.ts'
import type { WorkerContext } from './context.ts'
import type { NextTurn } from './next-turn.ts'

/** `context` is asked with the first call. */
export function createOverload(
  { overload: config }: WorkerConfig,
  clock: TurnClock,
  nextTurn: NextTurn,
  context: () => WorkerContext,
): Overload {
  return new Overload({
    config,
    now: () => clock.monotonic(),
    nextTurn,
    runtimes: () => context().runtimes.all,
    shrink: on => {
      context().readBuffers.shrink(on)
      context().exchanges.shrink(on)
    },
    collect: collectGarbage,
  })
}

export interface LoadWatchOptions {
  /** How often `look` is called, in ms. */
  readonly tickMs: number
  readonly workers: number
  /** That are listened at at the moment. */
  readonly ports: () => ReadonlySet<number>
}

export class LoadWatch {
  readonly #overload: Overload
  readonly #resources: WorkerResources
  readonly #ports: () => ReadonlySet<number>

  constructor({ config, overload }: WorkerContext, { tickMs, workers, ports }: LoadWatchOptions) {
    const { memory } = config.overload
    this.#overload = overload
    this.#resources = new WorkerResources({ tickMs, memory, workers, backlog: BACKLOG })
    this.#ports = ports
  }

  /** So many workers share the memory of the machine. */
  share(workers: number): void {
    this.#resources.share(workers)
  }

  /** Tells how the worker is at `now`, monotonic, in ms. */
  look(now: number): void {
    const { queued } = this.#overload
    this.#overload.observe(this.#resources.look(now, this.#ports(), queued))
  }
}
