/**
 * The quotas of all tenants in one worker: keeps their accounts from one configuration to the next, and carries what they ask
 * to the primary, all of a turn in one message.
 */
import { randomUUID } from 'node:crypto'
import type { QuotaConfig } from '../../config/quota-schema.ts'
import type { Clock } from '../../core/clock.ts'
import { sameConfig } from '../../core/same-config.ts'
import type { QuotaAnswer, QuotaAsk } from '../ipc.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { QuotaAccount, type QuotaCounter } from './quota-account.ts'
import { TenantQuotas } from './tenant-quotas.ts'

export interface QuotaDeskOptions {
  readonly clock: Clock
  /** `mixer.quotaFailure`. */
  readonly failure: 'open' | 'closed'
  /** Names that usage is counted by. */
  readonly operations: readonly string[]
  readonly send: (asks: readonly QuotaAsk[]) => void
}

/** Deployments allocate these for themselves. */
const OF_EVENT = 'event:'

export class QuotaDesk implements QuotaCounter {
  readonly clock: Clock
  readonly open: boolean
  readonly #operations: readonly string[]
  readonly #send: (asks: readonly QuotaAsk[]) => void
  /** By id of the tenant. */
  readonly #accounts = new Map<string, readonly QuotaAccount[]>()
  /** By id of the ask; each goes with its answer. */
  readonly #asking = new Map<string, QuotaAccount>()
  #outgoing: QuotaAsk[] = []
  readonly #idPrefix = randomUUID()
  #lastId = 0
  #opened = 0

  constructor({ clock, failure, operations, send }: QuotaDeskOptions) {
    this.clock = clock
    this.open = failure === 'open'
    this.#operations = operations
    this.#send = send
  }

  /** The quotas of `tenant` as it is configured now; undefined where it has none that the proxy counts. */
  quotasOf(tenant: Tenant): TenantQuotas | undefined {
    const counted = tenant.config.quotas.filter(({ of }) => !of.startsWith(OF_EVENT))
    if (counted.length === 0) {
      this.#accounts.delete(tenant.id)
      return undefined
    }
    const former = this.#accounts.get(tenant.id) ?? []
    const accounts = counted.map(quota => this.#accountOf(tenant.id, quota, former))
    this.#accounts.set(tenant.id, accounts)
    return new TenantQuotas(accounts, this.#operations)
  }

  /** A quota that has not changed keeps its account, and with it what is spent. */
  #accountOf(tenant: string, quota: QuotaConfig, former: readonly QuotaAccount[]): QuotaAccount {
    const same = former.find(account => sameConfig(account.quota, quota))
    return same ?? new QuotaAccount(this, tenant, quota)
  }

  /** The tenant is gone. */
  forget(tenant: string): void {
    this.#accounts.delete(tenant)
  }

  nextId(): string {
    this.#lastId += 1
    return `${this.#idPrefix}.${this.#lastId}`
  }

  ask(account: QuotaAccount, ask: QuotaAsk): void {
    this.#asking.set(ask.id, account)
    this.#outgoing.push(ask)
    if (this.#outgoing.length === 1) setImmediate(() => this.#flush())
  }

  opened(): void {
    this.#opened += 1
  }

  /** How often something was let through unasked since the last time. */
  takeOpened(): number {
    const opened = this.#opened
    this.#opened = 0
    return opened
  }

  answered(answers: readonly QuotaAnswer[]): void {
    for (const answer of answers) {
      const account = this.#asking.get(answer.id)
      this.#asking.delete(answer.id)
      account?.answered(answer)
    }
  }

  #flush(): void {
    const asks = this.#outgoing
    this.#outgoing = []
    this.#send(asks)
  }
}
