/** The process of a worker, from its fork to the moment when all that it said has been heard. */
import cluster, { type Worker } from 'node:cluster'
import type { WorkerMessage } from '../ipc.ts'
import type { PreparedWorker, PreparedWorkers } from './prepared-workers.ts'

export interface Death {
  readonly pid: number | undefined
  readonly code: number | null
  readonly signal: string | null
}

export interface ProcessEvents {
  /** It runs, or will never have run, and `missed` says so. It has got so many tenants `ahead` of its start. */
  readonly forked: (worker: Worker, ahead: number) => void
  readonly heard: (message: WorkerMessage) => void
  /** What could not be sent. */
  readonly failed: (error: Error) => void
  /** There is no process: no descriptor, memory or process id was to be had, or no program. Nothing else follows. */
  readonly missed: (error: unknown) => void
  /** It is gone, and nothing more will be heard. */
  readonly died: (death: Death) => void
}

/** Takes one that is prepared, or starts one. */
export function forkWorker(prepared: PreparedWorkers | undefined, events: ProcessEvents): void {
  let taken: PreparedWorker
  try {
    taken = prepared?.take() ?? { worker: cluster.fork(), heard: [], ahead: 0 }
  } catch (error) {
    events.missed(error)
    return
  }
  const { worker, heard, ahead } = taken
  events.forked(worker, ahead)
  worker.on('message', events.heard)
  worker.on('error', error => {
    if (worker.process.pid !== undefined) {
      events.failed(error)
      return
    }
    // Node tells of it in no other way, and keeps the worker in its list.
    delete cluster.workers?.[worker.id]
    events.missed(error)
  })
  worker.on('exit', (code, signal) => {
    const died = (): void => events.died({ pid: worker.process.pid, code, signal })
    // The exit may be noticed before the last messages are read; their usage must be billed, too.
    if (worker.isConnected()) worker.once('disconnect', died)
    else died()
  })
  for (const message of heard) events.heard(message)
}
