/** One place for a worker: who holds it, how far that worker is, and when the next one may come. */
import type { SendHandle } from 'node:child_process'
import type { Worker } from 'node:cluster'
import type { BoundHandle } from '../../runtime/bound-handle.ts'
import type { PrimaryMessage } from '../ipc.ts'
import type { WorkerStateLabel } from './worker-metrics.ts'
import { WorkerSilence } from './worker-silence.ts'

/** A worker that lives this long after its start has not died of its start. */
const STABLE_MS = 10_000
/** Deaths in a row that are answered by a new worker at once; what comes after is a crash loop. */
const FREE_RESTARTS = 2
const FIRST_DELAY_MS = 250
const LAST_DELAY_MS = 5_000

export class WorkerSlot {
  /** 1 to the number of workers; a replacement takes over the number. */
  readonly number: number
  worker: Worker | undefined
  /** `started`: it has been sent its configuration. */
  state: 'gone' | 'forked' | 'started' | 'ready' = 'gone'
  /** Tenants that it got before its start. */
  ahead = 0
  /** It has been told to end. */
  ending = false
  /** Of a worker that is to end. */
  deadline: NodeJS.Timeout | undefined
  /** Set while the next worker waits for its time. */
  restart: NodeJS.Timeout | undefined
  readonly silence = new WorkerSilence()
  /** What is sent piece by piece, one after the other. */
  #streams: Promise<void> = Promise.resolve()
  #bornAt = 0
  #deaths = 0

  constructor(number: number) {
    this.number = number
  }

  hold(worker: Worker, now: number, ahead = 0): void {
    this.worker = worker
    this.ahead = ahead
    this.state = 'forked'
    this.restart = undefined
    this.silence.begin()
    this.#bornAt = now
  }

  /** Deaths in a row, each soon after its start. */
  get deaths(): number {
    return this.#deaths
  }

  /** There was no process to be had. Returns how long to wait until the next attempt, in ms. */
  missed(now: number): number {
    this.#bornAt = now
    return Math.max(FIRST_DELAY_MS, this.release(now))
  }

  /** The worker is gone. Returns how long to wait for the next one, in ms. */
  release(now: number): number {
    this.worker = undefined
    this.state = 'gone'
    this.#deaths = now - this.#bornAt < STABLE_MS ? this.#deaths + 1 : 1
    const delayed = this.#deaths - FREE_RESTARTS
    return delayed <= 0
      ? 0
      : Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(delayed - 1, 10))
  }

  /** What it does, as operators see it. */
  get label(): WorkerStateLabel {
    if (this.ending) return 'ending'
    if (this.state === 'ready') return 'serving'
    return this.state === 'gone' ? 'waiting' : 'starting'
  }

  /** Sends if there is somebody to read it; a `handle` stays open here. */
  send(message: PrimaryMessage, handle?: BoundHandle): void {
    // A channel that breaks in this moment means a death, and that is noticed by itself.
    if (this.worker?.isConnected() === true)
      this.worker.send(message, handle as unknown as SendHandle, () => {})
  }

  /**
   * Sends many messages, one whenever the one before has left, so that the primary does other things between two. What is
   * streamed arrives in order. A worker that takes the place of this one gets nothing of it.
   */
  stream(messages: Iterable<PrimaryMessage>): void {
    const { worker } = this
    this.#streams = this.#streams.then(async () => {
      for (const message of messages) {
        if (worker?.isConnected() !== true) return
        await new Promise<void>(resolve => {
          worker.send(message, () => resolve())
        })
      }
    })
  }

  /** Tells it to end; no other comes after it. */
  drain(): void {
    this.ending = true
    clearTimeout(this.restart)
    // One that has not been told what to do has nothing to end.
    if (this.state === 'forked') this.kill()
    else this.send({ kind: 'drain' })
  }

  kill(): void {
    clearTimeout(this.restart)
    this.worker?.process.kill('SIGKILL')
  }

  /** Ends a worker that hangs, so that the system keeps a core of it where it is told to. */
  abort(): void {
    this.worker?.process.kill('SIGABRT')
  }
}
