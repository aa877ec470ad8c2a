/**
 * Notices a worker that hangs: in an endless loop, stopped by a signal, waiting for a disk. A worker that serves reports once
 * a second, so silence is counted in looks of the primary, one a second: a machine that was suspended, or that gives neither
 * of them any CPU, lets the primary look as rarely as it lets the worker speak, and nobody is ended for that.
 */
import type { Logger } from '../../runtime/logger.ts'
import { processState } from '../../runtime/process-state.ts'
import type { WorkerSlot } from './worker-slot.ts'

const LOOK_MS = 1_000
/** Before it serves a worker says nothing for as long as it takes to read all tenants: twice the time of a first start. */
const LOOKS_OF_A_START = 120
/** A heap snapshot makes a worker stand still; the longest profile is given up after three minutes. */
const LOOKS_OF_A_PROFILE = 200
/** Between the signal by which the system keeps a core, where it does, and the one that nobody can ignore. */
const LOOKS_OF_AN_END = 5

export interface WorkerWatchOptions {
  readonly slots: () => readonly WorkerSlot[]
  /** In ms; 0 for a worker that may be silent for ever. */
  readonly silence: number
  readonly logger: Logger
  readonly onHang: () => void
}

export class WorkerWatch {
  readonly #options: WorkerWatchOptions
  readonly #looksOfSilence: number
  #timer: NodeJS.Timeout | undefined

  constructor(options: WorkerWatchOptions) {
    this.#options = options
    this.#looksOfSilence = Math.ceil(options.silence / LOOK_MS)
  }

  start(): void {
    if (this.#looksOfSilence > 0) this.#timer ??= setInterval(() => this.look(), LOOK_MS).unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** A profile is asked for. */
  excuse(slot: WorkerSlot | undefined): void {
    slot?.silence.excuse(LOOKS_OF_A_PROFILE)
  }

  look(): void {
    for (const slot of this.#options.slots()) if (slot.worker !== undefined) this.#lookAt(slot)
  }

  #lookAt(slot: WorkerSlot): void {
    const most =
      slot.state === 'ready'
        ? this.#looksOfSilence
        : Math.max(this.#looksOfSilence, LOOKS_OF_A_START)
    const beyond = slot.silence.count() - most
    if (beyond === 0) this.#end(slot)
    // A process that is stopped takes no other signal.
    else if (beyond >= LOOKS_OF_AN_END) slot.kill()
  }

  #end(slot: WorkerSlot): void {
    const { logger, onHang } = this.#options
    const pid = slot.worker?.process.pid
    logger.error(
      {
        worker: slot.number,
        workerPid: pid,
        silentSeconds: (slot.silence.looks * LOOK_MS) / 1_000,
        state: pid === undefined ? undefined : processState(pid),
      },
      'worker hangs and is ended',
    )
    onHang()
    slot.abort()
  }
}
