/** All quotas of one tenant in one worker, by what they count. */
import type { QuotaAccount, QuotaVerdict } from './quota-account.ts'

/** Why something may not pass, and until when. */
export interface QuotaRefusal {
  readonly code: Exclude<QuotaVerdict, undefined>
  readonly retryAfterMs: number
  /** In milliseconds since the epoch; only where the quota is used up. */
  readonly resetAt?: number
}

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
  takeCall(operation: number, now: number): QuotaRefusal | undefined {
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
  refuseTunnel(now: number): QuotaRefusal | undefined {
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

function refusalOf(accounts: readonly QuotaAccount[], now: number): QuotaRefusal | undefined {
  for (const account of accounts) {
    const code = account.verdict(now)
    if (code === 'quota_exhausted')
      return { code, retryAfterMs: account.resetInMs(now), resetAt: account.resetAt }
    if (code !== undefined) return { code, retryAfterMs: 0 }
  }
  return undefined
}
