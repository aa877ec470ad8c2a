/**
 * Profiles of workers, and of the primary itself, on their way to whoever asked. One at a time in the whole proxy, each within
 * a time, and no further ahead of its reader than a piece.
 */
import { Readable } from 'node:stream'
import type { ProfileRequest } from '../../runtime/profile.ts'
import type { OperatorOrder } from '../ipc.ts'
import { type ProfilePiece, ProfileSource } from '../worker/profile-source.ts'

/** Beyond the time of a CPU profile: for making a snapshot, and for a reader who is slow. */
const LONGEST_MS = 120_000

export type ProfiledProcess = number | 'primary'

export type ProfileResult =
  | { readonly stream: Readable }
  | { readonly refused: 'busy' | 'gone' }
  | { readonly failed: string }

export interface ProfileWorkers {
  readonly serving: readonly number[]
  readonly send: (
    worker: number,
    message: { readonly kind: 'operator'; readonly order: OperatorOrder },
  ) => void
}

interface Running {
  readonly id: number
  readonly process: ProfiledProcess
  /** Whoever waits for the next piece. */
  waiting: ((piece: ProfilePiece) => void) | undefined
}

export class ProfileDesk {
  readonly #workers: () => ProfileWorkers
  readonly #own = new ProfileSource()
  #running: Running | undefined
  #last = 0

  constructor(workers: () => ProfileWorkers) {
    this.#workers = workers
  }

  /** Resolves with the beginning of it; `signal` ends it early. */
  async take(
    process: ProfiledProcess,
    request: ProfileRequest,
    signal: AbortSignal,
  ): Promise<ProfileResult> {
    if (this.#running !== undefined) return { refused: 'busy' }
    if (process !== 'primary' && !this.#workers().serving.includes(process))
      return { refused: 'gone' }
    const running: Running = { id: ++this.#last, process, waiting: undefined }
    this.#running = running
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      this.#end(running)
    }
    const timer = setTimeout(end, LONGEST_MS + (request.what === 'cpu' ? request.ms : 0))
    signal.addEventListener('abort', end, { once: true })
    const pieces = this.#pieces(running, end)
    this.#tell(running, { kind: 'profile', id: running.id, request })
    const first = await pieces.next().catch((error: Error) => error.message)
    if (typeof first === 'string') return { failed: first }
    const stream = Readable.from(startingWith(first.value ?? '', pieces))
    // Nobody may ever read of it, and then `pieces` do not hear that it is over.
    return { stream: stream.once('close', end) }
  }

  /** A worker has sent a piece. */
  answered(id: number, piece: ProfilePiece): void {
    if (id === this.#running?.id) this.#running.waiting?.(piece)
  }

  /** A worker is gone, and nothing of it comes any more. */
  gone(worker: number): void {
    if (this.#running?.process === worker) this.#end(this.#running)
  }

  async *#pieces(running: Running, ended: () => void): AsyncGenerator<string> {
    try {
      for (;;) {
        const piece = await this.#next(running)
        if ('failed' in piece) throw new Error(piece.failed)
        if (piece.text !== '') yield piece.text
        if (piece.last) return
      }
    } finally {
      ended()
    }
  }

  async #next(running: Running): Promise<ProfilePiece> {
    const { promise, resolve } = Promise.withResolvers<ProfilePiece>()
    if (this.#running !== running) return { failed: 'it has ended' }
    running.waiting = resolve
    const { id, process } = running
    if (process === 'primary') void this.#own.next(id).then(resolve)
    else this.#tell(running, { kind: 'profile-next', id })
    return promise
  }

  #end(running: Running): void {
    if (this.#running !== running) return
    this.#running = undefined
    this.#tell(running, { kind: 'profile-end', id: running.id })
    running.waiting?.({ failed: 'it took too long, or its process or its reader is gone' })
  }

  #tell(
    { process }: Running,
    order: Extract<OperatorOrder, { id: number; kind: `profile${string}` }>,
  ): void {
    if (process !== 'primary') this.#workers().send(process, { kind: 'operator', order })
    else if (order.kind === 'profile') this.#own.begin(order.id, order.request)
    else if (order.kind === 'profile-end') this.#own.end(order.id)
  }
}

async function* startingWith(first: string, rest: AsyncGenerator<string>): AsyncGenerator<string> {
  yield first
  yield* rest
}
