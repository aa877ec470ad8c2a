/** A worker's side of `primary/listening-sockets.ts`: asks the primary for bound sockets, and says which it needs no more. */
import type { BoundHandle } from '../../runtime/bound-handle.ts'
import type { PrimaryMessage, WorkerMessage } from '../ipc.ts'
import type { Place, SocketSource } from '../listener/listening-socket.ts'

type Answer = Extract<PrimaryMessage, { kind: 'socket' }>

export class PrimarySockets implements SocketSource {
  readonly #send: (message: WorkerMessage) => void
  readonly #asked = new Map<number, PromiseWithResolvers<BoundHandle>>()
  #last = 0

  constructor(send: (message: WorkerMessage) => void) {
    this.#send = send
  }

  async take(place: Place): Promise<BoundHandle> {
    const asked = Promise.withResolvers<BoundHandle>()
    this.#last += 1
    this.#asked.set(this.#last, asked)
    this.#send({ kind: 'listen', id: this.#last, place })
    return asked.promise
  }

  giveBack(place: Place): void {
    this.#send({ kind: 'unlisten', place })
  }

  /** An answer of the primary, with the socket where there is one. */
  answered({ id, error }: Answer, handle: BoundHandle | undefined): void {
    const asked = this.#asked.get(id)
    this.#asked.delete(id)
    if (asked === undefined) handle?.close()
    else if (handle === undefined) asked.reject(new ListenError(error ?? 'EMFILE'))
    else asked.resolve(handle)
  }
}

/** Why the primary could not bind it. */
class ListenError extends Error {
  override readonly name = 'ListenError'
  readonly code: string

  constructor(code: string) {
    super(code)
    this.code = code
  }
}
