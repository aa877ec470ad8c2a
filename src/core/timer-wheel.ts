/**
 * One wheel for all timeouts of a worker: arming and cancelling cost a few pointer writes, so every connection can have
 * a deadline for every phase. A timeout fires late by up to two ticks, never early. Pure: the owner calls `advance`.
 */

const TICK_MS = 50
/** 25.6 s; what lies further ahead waits in the last slot and is put back. */
const SLOTS = 512

export interface TimerOwner {
  timerExpired(timer: Timer): void
}

/** A deadline of somebody; it can be armed again and again, and is at most once in the wheel. */
export class Timer {
  readonly owner: TimerOwner
  /** Milliseconds of the wheel's clock; meaningful while `armed`. */
  deadline = 0
  armed = false
  /** Tick in whose slot the timer is linked, or -1. An armed timer may be linked too early, never too late. */
  tick = -1
  previous: Timer | undefined
  next: Timer | undefined

  constructor(owner: TimerOwner) {
    this.owner = owner
  }
}

export class TimerWheel {
  readonly #slots: (Timer | undefined)[] = Array.from({ length: SLOTS })
  #tick: number

  constructor(now: number) {
    this.#tick = Math.floor(now / TICK_MS)
  }

  /** Expires `timer` in `delayMs` from `now`, instead of whenever it was to expire. */
  arm(timer: Timer, delayMs: number, now: number): void {
    timer.deadline = now + delayMs
    timer.armed = true
    const tick = this.#tickFor(timer.deadline)
    // A later deadline needs no move: the slot comes, sees it, and puts it back. This is what an active connection does.
    if (timer.tick >= 0 && timer.tick <= tick) return
    this.#unlink(timer)
    this.#link(timer, tick)
  }

  cancel(timer: Timer): void {
    timer.armed = false
    this.#unlink(timer)
  }

  /**
   * The same for a timer that is soon armed again: it stays in its slot, so that arming it later is one comparison. Its
   * owner is held for as long as that; who is through with a timer cancels it.
   */
  suspend(timer: Timer): void {
    timer.armed = false
  }

  /** Expires all that is due at `now`. An owner may arm and cancel any timer meanwhile. */
  advance(now: number): void {
    const last = Math.floor(now / TICK_MS)
    // After a long stall every slot is looked at once, not once a missed tick.
    if (last - this.#tick > SLOTS) this.#tick = last - SLOTS
    while (this.#tick < last) {
      this.#tick++
      // One after the other out of the slot, so that an owner may move any timer, also those that wait in it. None is put
      // back into the same slot: see #tickFor.
      for (;;) {
        const timer = this.#slots[this.#tick % SLOTS]
        if (timer === undefined) break
        this.#unlink(timer)
        this.#visit(timer, now)
      }
    }
  }

  #visit(timer: Timer, now: number): void {
    if (!timer.armed) return
    if (timer.deadline > now) {
      this.#link(timer, this.#tickFor(timer.deadline))
      return
    }
    timer.armed = false
    timer.owner.timerExpired(timer)
  }

  #tickFor(deadline: number): number {
    const tick = Math.max(Math.ceil(deadline / TICK_MS), this.#tick + 1)
    return Math.min(tick, this.#tick + SLOTS - 1)
  }

  #link(timer: Timer, tick: number): void {
    const slot = tick % SLOTS
    const head = this.#slots[slot]
    timer.tick = tick
    timer.previous = undefined
    timer.next = head
    if (head) head.previous = timer
    this.#slots[slot] = timer
  }

  #unlink(timer: Timer): void {
    if (timer.tick < 0) return
    if (timer.previous) timer.previous.next = timer.next
    else this.#slots[timer.tick % SLOTS] = timer.next
    if (timer.next) timer.next.previous = timer.previous
    timer.tick = -1
    timer.previous = undefined
    timer.next = undefined
  }
}
