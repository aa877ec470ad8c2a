/**
 * Carries what workers ask of quotas to the mixer: all that waits goes in one call, and while it is under way the next
 * gathers. It keeps nothing that matters: what is not answered a worker asks again, under the same id.
 */

import { type AllocationBatchAnswer, MAX_ALLOCATIONS_PER_CALL } from '../../contracts/quota.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { MixerClient } from '../../runtime/mixer-client.ts'
import type { QuotaAnswer, QuotaAsk } from '../ipc.ts'

/** A worker asks once at a time for each quota of each tenant; more than this can only be a mistake. */
const MAX_WAITING = 100_000
/** The mixer is away: said once, and again after so many failures. */
const LOG_EVERY = 60

/** What became of an ask: all, a part or nothing was granted, the mixer was away, or knew no such quota. */
export const ALLOCATION_RESULTS = ['granted', 'partly', 'denied', 'away', 'refused'] as const
export type AllocationResult = (typeof ALLOCATION_RESULTS)[number]

export interface QuotaRelayOptions {
  readonly client: Pick<MixerClient, 'allocate'>
  readonly logger: Logger
  /** Brings answers to the worker of a slot. */
  readonly answer: (slot: number, answers: readonly QuotaAnswer[]) => void
  readonly onResult: (result: AllocationResult) => void
}

/** What the mixer last said of a quota. */
export interface QuotaState {
  readonly remaining: number
  /** Milliseconds since the epoch. */
  readonly resetAt: number
}

interface Waiting {
  readonly slot: number
  readonly ask: QuotaAsk
}

export class QuotaRelay {
  readonly #options: QuotaRelayOptions
  #waiting: Waiting[] = []
  #running = false
  #closed = false
  #failures = 0
  /** By tenant, then by name. */
  readonly #states = new Map<string, Map<string, QuotaState>>()

  constructor(options: QuotaRelayOptions) {
    this.#options = options
  }

  /** Takes what the worker of `slot` asks; it is answered in any case, as long as both live. */
  ask(slot: number, asks: readonly QuotaAsk[]): void {
    const room = MAX_WAITING - this.#waiting.length
    for (const ask of asks.slice(0, room)) this.#waiting.push({ slot, ask })
    this.#fail(asks.slice(room).map(ask => ({ slot, ask })))
    if (!this.#running) void this.#run()
  }

  /** As far as it is known. */
  stateOf(tenant: string, quota: string): QuotaState | undefined {
    return this.#states.get(tenant)?.get(quota)
  }

  /** Forgets tenants that there are no longer. */
  forget(tenants: readonly string[]): void {
    for (const tenant of tenants) this.#states.delete(tenant)
  }

  /** Nothing is asked any more. */
  close(): void {
    this.#closed = true
    this.#waiting = []
  }

  async #run(): Promise<void> {
    this.#running = true
    while (this.#waiting.length > 0 && !this.#closed) {
      const batch = this.#waiting.splice(0, MAX_ALLOCATIONS_PER_CALL)
      const result = await this.#allocate(batch)
      if (this.#closed) break
      if (result === undefined) {
        // All that waits would wait for the same mixer, one timeout after the other.
        this.#fail([...batch, ...this.#waiting])
        this.#waiting = []
      } else this.#settle(batch, result)
    }
    this.#running = false
  }

  /** Undefined where the mixer did not answer so. */
  async #allocate(
    batch: readonly Waiting[],
  ): Promise<AllocationBatchAnswer['allocations'] | undefined> {
    const result = await this.#options.client.allocate(
      batch.map(({ ask }) => ({ ...ask, mode: 'bestEffort' })),
    )
    if (result.ok) {
      if (this.#failures > 0) this.#options.logger.info('quotas can be asked for again')
      this.#failures = 0
      return result.allocations
    }
    if (this.#failures % LOG_EVERY === 0)
      this.#options.logger.warn({ detail: result.detail }, 'quotas cannot be asked for')
    this.#failures += 1
    return undefined
  }

  #settle(batch: readonly Waiting[], allocations: AllocationBatchAnswer['allocations']): void {
    const answers = new Map<number, QuotaAnswer[]>()
    for (const [index, { slot, ask }] of batch.entries()) {
      const list = answers.get(slot) ?? []
      list.push(this.#answerTo(ask, allocations[index]))
      answers.set(slot, list)
    }
    for (const [slot, list] of answers) this.#options.answer(slot, list)
  }

  #answerTo(
    { id, tenant, quota, amount }: QuotaAsk,
    allocation: AllocationBatchAnswer['allocations'][number] | undefined,
  ): QuotaAnswer {
    const { onResult } = this.#options
    if (allocation === undefined || 'refused' in allocation) {
      onResult('refused')
      return { id, failed: 'refused' }
    }
    const { granted, remaining, resetInMs } = allocation
    const resetAt = Date.parse(allocation.resetAt)
    onResult(granted === 0 ? 'denied' : granted < amount ? 'partly' : 'granted')
    let ofTenant = this.#states.get(tenant)
    if (ofTenant === undefined) {
      ofTenant = new Map()
      this.#states.set(tenant, ofTenant)
    }
    ofTenant.set(quota, { remaining, resetAt })
    return { id, granted, remaining, resetAt, resetInMs }
  }

  #fail(waiting: readonly Waiting[]): void {
    const bySlot = Map.groupBy(waiting, ({ slot }) => slot)
    for (const [slot, list] of bySlot) {
      for (const _ of list) this.#options.onResult('away')
      this.#options.answer(
        slot,
        list.map(({ ask }) => ({ id: ask.id, failed: 'away' })),
      )
    }
  }
}
