/** All quotas of one tenant in one worker, by what they count. */
import { calendarWindow } from '../../core/calendar-window.ts'
import type { QuotaAccount } from './quota-account.ts'
import { limitText, policyText, RateFields, wholeSeconds } from './rate-fields.ts'
import type { Refusal } from './refusal.ts'

export class TenantQuotas {
  /** Whether it matters which operation a call is. */
  readonly byOperation: boolean
  readonly #calls: readonly QuotaAccount[]
  /** By index of the operation. */
  readonly #operations: readonly (readonly QuotaAccount[])[]
  readonly #ingress: readonly QuotaAccount[]
  readonly #egress: readonly QuotaAccount[]
  readonly #bytes: readonly QuotaAccount[]

  /** `operations` are the names that usage is counted by, in their order. */
  constructor(accounts: readonly QuotaAccount[], operations: readonly string[]) {
    const of = (...kinds: string[]): readonly QuotaAccount[] =>
      accounts.filter(account => kinds.includes(account.quota.of))
    this.#calls = of('calls')
    this.#operations = operations.map(name => of(`operation:${name}`))
    this.byOperation = this.#operations.some(list => list.length > 0)
    this.#ingress = of('bytes', 'ingress')
    this.#egress = of('bytes', 'egress')
    this.#bytes = of('bytes', 'ingress', 'egress')
  }

  /** Takes a call of `operation` from the quotas; all of them or, where one refuses, none. `now` is monotonic. */
  takeCall(operation: number, now: number): Refusal | undefined {
    const ofOperation = this.#operations[operation] ?? []
    const refusal =
      refusalOf(this.#calls, now) ?? refusalOf(ofOperation, now) ?? refusalOf(this.#bytes, now)
    if (refusal !== undefined) return refusal
    for (const account of this.#calls) account.spend(1, now)
    for (const account of ofOperation) account.spend(1, now)
    return undefined
  }

  /** A call that was taken has not reached its deployment. */
  giveCallBack(operation: number): void {
    for (const account of this.#calls) account.giveBack(1)
    for (const account of this.#operations[operation] ?? []) account.giveBack(1)
  }

  /** Whether a tunnel may begin. */
  refuseTunnel(now: number): Refusal | undefined {
    return refusalOf(this.#bytes, now)
  }

  /** Whether what may have no end should have one. */
  get bytesExhausted(): boolean {
    return this.#bytes.some(account => account.exhausted)
  }

  received(bytes: number, now: number): void {
    for (const account of this.#ingress) account.spend(bytes, now)
  }

  sent(bytes: number, now: number): void {
    for (const account of this.#egress) account.spend(bytes, now)
  }
}

function refusalOf(accounts: readonly QuotaAccount[], now: number): Refusal | undefined {
  for (const account of accounts) {
    const code = account.verdict(now)
    if (code === 'quota_exhausted') return exhausted(account, now)
    if (code !== undefined) return { code, limit: 'quota', retryAfterMs: 0 }
  }
  return undefined
}

function exhausted(account: QuotaAccount, now: number): Refusal {
  const { quota, resetAt } = account
  const { name, amount, per, of } = quota
  const retryAfterMs = account.resetInMs(now)
  const { start, end } = calendarWindow(per, resetAt - 1)
  const unit = of === 'calls' || of.startsWith('operation:') ? undefined : 'content-bytes'
  const policy = policyText({ name, quota: amount, windowMs: end - start, unit })
  const rate = new RateFields(limitText(name, 0, wholeSeconds(retryAfterMs)), policy)
  return { code: 'quota_exhausted', limit: 'quota', retryAfterMs, resetAt, rate }
}
