/**
 * Carries what an HTTP/2 session has to say to its socket: all frames of a turn leave in one write at its end, behind what
 * has to be on record first. What the socket does not take for now stays in the session, and streams that have more wait.
 */
import { byPriority } from '../../codec/http2/priority.ts'
import type { Http2Session } from '../../codec/http2/session.ts'
import type { Outbox, Sender } from './outbox.ts'
import type { StreamOutput } from './stream-output.ts'
import type { TurnWriter, TurnWrites } from './turn-writes.ts'

/** Frames that wait for the end of the turn; beyond that streams wait with what they have. */
const MOST_WAITING_BYTES = 256 * 1024

type HeldUpSender = Pick<Sender, 'heldUp'>

export class SessionTransport<Owner> implements TurnWriter {
  readonly session: Http2Session<Owner>
  readonly outbox: Outbox
  readonly #sender: HeldUpSender | undefined
  readonly #turn: TurnWrites
  /** Streams whose data waits for the socket. */
  readonly #held = new Set<StreamOutput<Owner>>()
  /** Whether it sends at the end of this turn. */
  #due = false

  /** `sender` is told where the socket takes no more for now. */
  constructor(
    turn: TurnWrites,
    outbox: Outbox,
    session: Http2Session<Owner>,
    sender?: HeldUpSender,
  ) {
    this.#sender = sender
    this.#turn = turn
    this.outbox = outbox
    this.session = session
  }

  /** Whether there is enough for now. */
  get full(): boolean {
    return this.outbox.blocked || this.session.waiting >= MOST_WAITING_BYTES
  }

  /** Frames may have been written; what they say has been counted. */
  touch(): void {
    if (this.#due || this.session.waiting === 0) return
    this.#due = true
    this.#turn.add(this)
  }

  sendNow(): void {
    this.#due = false
    if (this.outbox.blocked) return
    this.#send()
    if (this.#held.size > 0 && !this.outbox.blocked) this.#resume()
  }

  /** The socket takes more. */
  drained(): void {
    this.#send()
    if (this.#held.size > 0 && !this.full) this.#resume()
  }

  #send(): void {
    if (this.session.waiting === 0) return
    const pieces = this.session.take()
    for (let index = 0; index < pieces.length; index++) this.outbox.piece(pieces[index] as Buffer)
    if (!this.outbox.flush()) this.#sender?.heldUp()
    // What the kernel has not taken yet is read from their memory later.
    if (this.outbox.idle) this.session.giveBack(pieces)
  }

  /** The last that will be sent: behind what the socket has not taken yet, where there is such. */
  sendLast(): void {
    this.#send()
  }

  /** `output` has data that nobody can take for now. */
  hold(output: StreamOutput<Owner>): void {
    this.#held.add(output)
  }

  release(output: StreamOutput<Owner>): void {
    if (this.#held.size > 0) this.#held.delete(output)
  }

  /** The most urgent first (RFC 9218 §10). */
  #resume(): void {
    const outputs = [...this.#held].toSorted((a, b) => byPriority(a.stream, b.stream))
    this.#held.clear()
    for (const output of outputs) {
      if (this.full) this.#held.add(output)
      else output.resume()
    }
    this.touch()
  }
}
