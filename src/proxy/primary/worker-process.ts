/** The process of a worker, from its fork to the moment when all that it said has been heard. */
import cluster, { type Worker } from 'node:cluster'
import type { WorkerMessage } from '../ipc.ts'
import type { PreparedWorkers } from './prepared-workers.ts'

export interface Death {
  readonly pid: number | undefined
  readonly code: number | null
  readonly signal: string | null
}

export interface ProcessEvents {
  /** It runs, or will never have run, and `missed` says so. */
  readonly forked: (worker: Worker) => void
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
  let taken: ReturnType<PreparedWorkers['take']>
  try {
    taken = prepared?.take() ?? { worker: cluster.fork(), heard: [] }
  } catch (error) {
    events.missed(error)
    return
  }
  const { worker, heard } = taken
  events.forked(worker)
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
