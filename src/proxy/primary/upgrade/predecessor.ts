/** The primary whose place this process takes, as this process sees it. */
import type { BoundHandle } from '../../../runtime/bound-handle.ts'
import type { HeldSocket } from '../listening-sockets.ts'
import {
  type FromSuccessor,
  type Inheritance,
  type Legacy,
  PROTOCOL,
  type ToSuccessor,
} from './messages.ts'

/** What is heard after the hand-over. */
export interface PredecessorEvents {
  /** A worker of that one has written the last of its journal. */
  readonly gone: (producer: string) => void
  /** That one has ended, and says no more. */
  readonly ended: () => void
}

export class Predecessor {
  /** What it listens at. */
  readonly sockets: HeldSocket[] = []
  readonly #met = Promise.withResolvers<Inheritance | undefined>()
  readonly #yours = Promise.withResolvers<Legacy>()
  #events: PredecessorEvents | undefined
  readonly #gone = Promise.withResolvers<void>()
  #ended = false

  /** Asks the process that has started this one. */
  constructor() {
    process.on('message', this.#heard)
    process.once('disconnect', this.#disconnected)
    void this.#send({ kind: 'hello', protocol: PROTOCOL })
  }

  /** What it leaves; undefined where it has ended, or there is none. */
  get inheritance(): Promise<Inheritance | undefined> {
    return this.#met.promise
  }

  /** Resolves when it is gone. */
  get ended(): Promise<void> {
    return this.#gone.promise
  }

  /** This process cannot serve: that one goes on. Resolves when it has been told. */
  async refuse(problems: readonly string[], exitCode: number): Promise<void> {
    await this.#send({ kind: 'failed', problems, exitCode })
  }

  /** This process serves. Resolves when that one has let go of everything. */
  async takeOver(events: PredecessorEvents): Promise<Legacy> {
    this.#events = events
    void this.#send({ kind: 'serving' })
    return this.#yours.promise
  }

  /** The channel must not keep alive a program that has ended. */
  close(): void {
    process.off('message', this.#heard)
    process.off('disconnect', this.#disconnected)
    if (process.connected) process.disconnect?.()
  }

  readonly #heard = (message: ToSuccessor, handle: BoundHandle | undefined): void => {
    switch (message.kind) {
      case 'socket':
        if (handle !== undefined) this.sockets.push({ place: message.place, handle })
        return
      case 'begin':
        this.#met.resolve(message)
        return
      case 'yours':
        this.#yours.resolve(message)
        return
      case 'gone':
        this.#events?.gone(message.producer)
    }
  }

  readonly #disconnected = (): void => {
    if (this.#ended) return
    this.#ended = true
    this.#gone.resolve()
    this.#met.resolve(undefined)
    this.#yours.resolve({ producers: [] })
    this.#events?.ended()
  }

  async #send(message: FromSuccessor): Promise<void> {
    if (!process.connected) {
      this.#disconnected()
      return
    }
    await new Promise<void>(resolve => {
      process.send?.(message, undefined, undefined, () => resolve())
    })
  }
}
