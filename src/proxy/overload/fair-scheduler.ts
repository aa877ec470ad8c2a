/**
 * Who goes on in a busy worker: weighted deficit round robin over tenants (Shreedhar and Varghese, SIGCOMM 1995), in units
 * of calls. A turn of the event loop begins some calls and no more, so that turns stay short whoever sends how much; the
 * others wait, each in the queue of its tenant, and go on in the turns that follow. Nothing waits for anything but its
 * turn: a deployment that hangs holds nobody up here.
 *
 * A tenant within its part of a turn never waits, and is never refused for the sake of others: where the queues are full it
 * is those with most that lose.
 */
import { WaitQueue } from '../pool/wait-queue.ts'
import type { QueuedCall, ShedReason, TenantShare } from './tenant-share.ts'
import { TurnSize } from './turn-size.ts'

export interface FairSchedulerOptions {
  /** Calls that one turn begins, about; or for how long a turn should take, in ms. */
  readonly turn: { readonly calls: number } | { readonly ms: number }
  /** Calls of all tenants that may wait. */
  readonly most: number
  /** How long one may wait, in ms. */
  readonly timeout: number
  /** Monotonic, in ms; refreshed by whoever runs `nextTurn`. */
  readonly now: () => number
  /** Runs something once all of this turn is done. */
  readonly nextTurn: (run: () => void) => void
  readonly shed: (tenant: string, reason: ShedReason) => void
}

export type Entry = 'admitted' | 'queued' | 'shed'

/** A debt is forgiven beyond this, in parts of a round: a download of an hour ago is no reason to wait for one. */
const MOST_ROUNDS_OF_DEBT = 8
/** Tenants that one turn looks at; of those with debts it may be many. */
const MOST_VISITS = 4_096
/** How often waiting calls are looked at for their time, in ms. */
const EXPIRY_MS = 20

export class FairScheduler {
  readonly #options: FairSchedulerOptions
  /** Tenants that wait, in the order of the round. */
  readonly #round = new WaitQueue<TenantShare, undefined>(Number.POSITIVE_INFINITY)
  /** Of those in the round, and of the others that were there in this turn. */
  #waitingWeight = 0
  #passingWeight = 0
  #queued = 0
  #turn = 0
  /** Calls that were begun in this turn. */
  #begun = 0
  #scheduled = false
  /** Calls that one turn begins. */
  #callsATurn: number
  readonly #turnSize: TurnSize | undefined
  /** When this turn began, where the one behind it follows at once: what is between them is its length. */
  #turnAt: number | undefined
  /** Calls that lost their place in this turn: told behind it, since whoever is told begins new ones. */
  #losers: QueuedCall[] = []
  #nextExpiry = 0

  constructor(options: FairSchedulerOptions) {
    this.#options = options
    const { turn } = options
    this.#turnSize = 'ms' in turn ? new TurnSize(turn.ms) : undefined
    this.#callsATurn = 'calls' in turn ? turn.calls : (this.#turnSize?.calls ?? 1)
  }

  /** Calls that wait. */
  get queued(): number {
    return this.#queued
  }

  /** A call of the tenant of `share` wants to go on. Where it is `queued` it hears what became of it, unless it leaves. */
  enter(call: QueuedCall, share: TenantShare): Entry {
    this.#schedule()
    this.#meet(share)
    if (this.#mayPass(share)) {
      share.begun += 1
      this.#begun += 1
      return 'admitted'
    }
    if (this.#queued >= this.#options.most && !this.#makeRoom(share)) {
      this.#options.shed(share.tenant, 'queue_full')
      return 'shed'
    }
    this.#join(call, share)
    return 'queued'
  }

  /** A call that waits does so no longer. */
  leave(call: QueuedCall, share: TenantShare): void {
    if (!share.queue.leave(call)) return
    this.#queued -= 1
    if (share.queue.size === 0) this.#leaveRound(share)
  }

  /** The tenant has another weight from now on. */
  reweigh(share: TenantShare, weight: number): void {
    const more = weight - share.weight
    if (share.queue.size > 0) this.#waitingWeight += more
    else if (share.turn === this.#turn) this.#passingWeight += more
    share.weight = weight
  }

  /** The tenant has cost as much as so many calls on top. */
  charge(share: TenantShare, calls: number): void {
    share.deficit = Math.max(share.deficit - calls, -MOST_ROUNDS_OF_DEBT * share.weight)
  }

  #meet(share: TenantShare): void {
    if (share.turn === this.#turn) return
    share.turn = this.#turn
    share.begun = 0
    if (share.queue.size === 0) this.#passingWeight += share.weight
  }

  /** Whether it goes on at once: there is room in this turn, or room that is this tenant's. */
  #mayPass(share: TenantShare): boolean {
    if (share.queue.size > 0 || share.deficit < 0) return false
    if (this.#queued === 0 && this.#begun < this.#callsATurn) return true
    const part = (this.#callsATurn * share.weight) / (this.#waitingWeight + this.#passingWeight)
    return share.begun < Math.max(1, Math.floor(part))
  }

  /** Takes the oldest call of the tenant with most of them; false where that is the one that asks. */
  #makeRoom(share: TenantShare): boolean {
    const heaviest = this.#heaviest()
    const own = (share.queue.size + 1) / share.weight
    if (heaviest === undefined || own >= heaviest.load) return false
    const loser = heaviest.queue.first?.who
    if (loser === undefined) return false
    this.leave(loser, heaviest)
    this.#options.shed(heaviest.tenant, 'queue_full')
    this.#losers.push(loser)
    return true
  }

  #heaviest(): TenantShare | undefined {
    let heaviest: TenantShare | undefined
    for (const share of this.#round) {
      if (heaviest === undefined || share.load > heaviest.load) heaviest = share
    }
    return heaviest
  }

  #join(call: QueuedCall, share: TenantShare): void {
    if (share.queue.size === 0) {
      this.#round.join({ who: share, need: undefined, deadline: 0 })
      this.#waitingWeight += share.weight
      this.#passingWeight -= share.weight
    }
    const deadline = this.#options.now() + this.#options.timeout
    share.queue.join({ who: call, need: undefined, deadline })
    this.#queued += 1
  }

  #leaveRound(share: TenantShare): void {
    this.#round.leave(share)
    this.#waitingWeight -= share.weight
    if (share.turn === this.#turn) this.#passingWeight += share.weight
    share.visited = false
    // Who has nothing to begin saves nothing up.
    if (share.deficit > 0) share.deficit = 0
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#options.nextTurn(this.#beginTurn)
  }

  readonly #beginTurn = (): void => {
    this.#scheduled = false
    this.#turn += 1
    const now = this.#options.now()
    this.#measureTurn(now)
    this.#begun = 0
    this.#passingWeight = 0
    this.#expire()
    const losers = this.#losers
    this.#losers = []
    for (const loser of losers) loser.shed()
    this.#dispatch()
    // Where calls wait, the event loop does not: the turn ends when the next one begins.
    const goesOn = this.#queued > 0 || this.#losers.length > 0
    this.#turnAt = goesOn ? now : undefined
    if (goesOn) this.#schedule()
  }

  #measureTurn(now: number): void {
    const size = this.#turnSize
    if (size === undefined || this.#turnAt === undefined) return
    size.observe(now - this.#turnAt, this.#begun >= this.#callsATurn)
    this.#callsATurn = size.calls
  }

  #expire(): void {
    const now = this.#options.now()
    if (now < this.#nextExpiry) return
    this.#nextExpiry = now + EXPIRY_MS
    for (const share of this.#round) {
      let oldest = share.queue.first
      while (oldest !== undefined && oldest.deadline <= now) {
        this.leave(oldest.who, share)
        this.#options.shed(share.tenant, 'queue_timeout')
        this.#losers.push(oldest.who)
        oldest = share.queue.first
      }
    }
  }

  #dispatch(): void {
    let visits = 0
    while (this.#begun < this.#callsATurn && visits < MOST_VISITS) {
      const share = this.#round.first?.who
      if (share === undefined) return
      if (!share.visited) {
        share.visited = true
        share.deficit += share.weight
        visits += 1
      }
      if (share.deficit >= 1) this.#begin(share)
      else this.#putBehind(share)
    }
  }

  #begin(share: TenantShare): void {
    const call = share.queue.first?.who
    if (call === undefined) return
    this.#meet(share)
    share.deficit -= 1
    share.begun += 1
    this.#begun += 1
    this.leave(call, share)
    call.admitted()
  }

  #putBehind(share: TenantShare): void {
    share.visited = false
    this.#round.leave(share)
    this.#round.join({ who: share, need: undefined, deadline: 0 })
  }
}
