/**
 * One quota of one tenant in one worker: what the mixer has allotted and what is spent of it. No call waits for the mixer:
 * the account asks for more before the credit is gone, and what is spent before the answer comes is debt that the next ask
 * covers. Debt ends where the mixer, when it last spoke, had no more to give.
 */
import type { QuotaConfig } from '../../config/quota-schema.ts'
import { calendarWindow } from '../../core/calendar-window.ts'
import type { Clock } from '../../core/clock.ts'
import type { QuotaAnswer, QuotaAsk } from '../ipc.ts'

/** Between two looks at a quota that is used up: it may have been raised. */
const RECHECK_MS = 5_000
/** Until the mixer is asked again after it could not be. */
const RETRY_MS = 1_000
/** An ask that nobody has answered for so long has failed. */
const ANSWER_TIMEOUT_MS = 5_000
const RATE_PERIOD_MS = 1_000
/** Asked ahead at least: this part of the quota, so that a tenant with few calls does not ask for each of them. */
const LEAST_AHEAD = 1 / 1_000
/** Asked ahead at most: this part of what is left, so that other workers find something. */
const MOST_AHEAD = 1 / 4

export type QuotaVerdict = 'quota_exhausted' | 'quota_unavailable' | undefined

/** How an account reaches the mixer. */
export interface QuotaCounter {
  readonly clock: Clock
  /** Whether calls pass while the mixer cannot be asked. */
  readonly open: boolean
  /** A new id for an ask. */
  nextId(): string
  /** Sends it on its way; an answer, or the news that there is none, comes back to `account`. */
  ask(account: QuotaAccount, ask: QuotaAsk): void
  /** Something was let through only because the mixer cannot be asked. */
  opened(): void
}

interface PendingAsk {
  readonly id: string
  readonly amount: number
  askedAt: number
  underWay: boolean
}

export class QuotaAccount {
  readonly tenant: string
  readonly quota: QuotaConfig
  readonly #counter: QuotaCounter
  /** Allotted and not spent; below 0 it is debt. */
  #credit = 0
  /** What may be spent beyond the credit: as much as the mixer had left when it last spoke, at first all of it. */
  #line = 0
  /** End of the window: time of day for people, monotonic for the account. */
  #resetAt = 0
  #expires = 0
  /** Unanswered; repeated as it is, because it may have been heard. */
  #pending: PendingAsk | undefined
  /** No ask before this. */
  #patience = 0
  #away = false
  /** Spent in the present and the former second. */
  #recent = 0
  #former = 0
  #periodStart = 0

  constructor(counter: QuotaCounter, tenant: string, quota: QuotaConfig) {
    this.#counter = counter
    this.tenant = tenant
    this.quota = quota
    this.#begin(counter.clock.monotonic())
  }

  /** When the window ends, in milliseconds since the epoch. */
  get resetAt(): number {
    return this.#resetAt
  }

  /** Until then. */
  resetInMs(now: number): number {
    return Math.max(1, this.#expires - now)
  }

  /** Whether something may be spent at `now`, which is monotonic. */
  verdict(now: number): QuotaVerdict {
    if (now >= this.#expires) this.#begin(now)
    this.#noticeSilence(now)
    if (this.#credit > 0) return undefined
    if (this.#away) {
      this.#askIfLow(now)
      if (!this.#counter.open) return 'quota_unavailable'
      this.#counter.opened()
      return undefined
    }
    if (this.#credit + this.#line > 0) return undefined
    this.#askIfLow(now)
    return 'quota_exhausted'
  }

  /** Whether the mixer has no more, and what it gave is spent. It asks nobody: `spend` does. */
  get exhausted(): boolean {
    return !this.#away && this.#credit + this.#line <= 0
  }

  spend(amount: number, now: number): void {
    if (now >= this.#expires) this.#begin(now)
    this.#turnPeriod(now)
    this.#credit -= amount
    this.#recent += amount
    this.#askIfLow(now)
  }

  /** What was spent has not been used after all. */
  giveBack(amount: number): void {
    this.#credit += amount
  }

  answered(answer: QuotaAnswer): void {
    if (answer.id !== this.#pending?.id) return
    const now = this.#counter.clock.monotonic()
    if ('failed' in answer) {
      this.#failed(now)
      return
    }
    this.#pending = undefined
    this.#away = false
    this.#credit += answer.granted
    this.#line = answer.remaining
    this.#resetAt = answer.resetAt
    this.#expires = now + answer.resetInMs
    this.#patience = answer.remaining > 0 ? 0 : now + RECHECK_MS
    this.#askIfLow(now)
  }

  #failed(now: number): void {
    if (this.#pending !== undefined) this.#pending.underWay = false
    this.#away = true
    this.#patience = now + RETRY_MS
  }

  #noticeSilence(now: number): void {
    const pending = this.#pending
    if (pending?.underWay && now - pending.askedAt > ANSWER_TIMEOUT_MS) this.#failed(now)
  }

  /** A new window: what was not spent is gone, and what was asked is of no use any more. */
  #begin(now: number): void {
    const { clock } = this.#counter
    this.#credit = 0
    this.#line = this.quota.amount
    this.#pending = undefined
    if (!this.#away) this.#patience = 0
    const timeOfDay = clock.now()
    this.#resetAt = calendarWindow(this.quota.per, timeOfDay).end
    this.#expires = now + this.#resetAt - timeOfDay
  }

  #askIfLow(now: number): void {
    if (now < this.#patience || this.#pending?.underWay) return
    this.#turnPeriod(now)
    const rate = this.#recent + this.#former
    const ahead = Math.min(
      Math.max(2 * rate, Math.floor(this.quota.amount * LEAST_AHEAD)),
      Math.floor(this.#line * MOST_AHEAD),
    )
    const low = this.#credit < ahead / 2
    // One that is used up, or could not ask, asks for what comes next.
    const dry = this.#credit <= 0 && (this.#line <= 0 || this.#away)
    if (!low && !dry) return
    this.#pending ??= {
      id: this.#counter.nextId(),
      amount: Math.max(1, Math.ceil(ahead - this.#credit)),
      askedAt: 0,
      underWay: false,
    }
    this.#pending.askedAt = now
    this.#pending.underWay = true
    const { id, amount } = this.#pending
    this.#counter.ask(this, { id, tenant: this.tenant, quota: this.quota.name, amount })
  }

  #turnPeriod(now: number): void {
    const passed = now - this.#periodStart
    if (passed < RATE_PERIOD_MS) return
    this.#former = passed < 2 * RATE_PERIOD_MS ? this.#recent : 0
    this.#recent = 0
    this.#periodStart = now
  }
}
