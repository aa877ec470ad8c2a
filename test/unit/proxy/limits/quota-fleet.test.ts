/**
 * Several workers on one quota, with answers that come late, never, or twice, in an order that chance decides. What the mixer
 * gives is never more than there is; what passes beyond it is bounded by what each of them could not know.
 */
import fc from 'fast-check'
import { test } from 'tap'
import type { QuotaAnswer, QuotaAsk } from '../../../../src/proxy/ipc.ts'
import { QuotaAccount, type QuotaCounter } from '../../../../src/proxy/limits/quota-account.ts'

const NOON = Date.parse('2026-11-25T12:00:00Z')

/** A mixer as exact as the real one: an id is granted once, and answered the same. */
class Mixer {
  left: number
  readonly #answers = new Map<string, Extract<QuotaAnswer, { granted: number }>>()

  constructor(amount: number) {
    this.left = amount
  }

  allocate({ id, amount }: QuotaAsk): QuotaAnswer {
    const former = this.#answers.get(id)
    if (former !== undefined) return former
    const granted = Math.min(amount, this.left)
    this.left -= granted
    const answer = { id, granted, remaining: this.left, resetAt: NOON, resetInMs: 1e9 }
    this.#answers.set(id, answer)
    return answer
  }
}

class Worker implements QuotaCounter {
  readonly open = false
  readonly clock: QuotaCounter['clock']
  readonly account: QuotaAccount
  readonly asks: QuotaAsk[] = []
  readonly #name: string
  passed = 0
  #ids = 0

  constructor(name: string, amount: number, clock: QuotaCounter['clock']) {
    this.#name = name
    this.clock = clock
    this.account = new QuotaAccount(this, 'acme', {
      name: 'calls',
      of: 'calls',
      amount,
      per: 'month',
    })
  }

  nextId(): string {
    this.#ids += 1
    return `${this.#name}.${this.#ids}`
  }

  ask(_account: QuotaAccount, ask: QuotaAsk): void {
    this.asks.push(ask)
  }

  opened(): void {}

  call(): boolean {
    const now = this.clock.monotonic()
    if (this.account.verdict(now) !== undefined) return false
    this.account.spend(1, now)
    this.passed += 1
    return true
  }
}

class Fleet {
  now = 1_000
  readonly mixer: Mixer
  readonly workers: readonly Worker[]

  constructor(amount: number, size: number) {
    const clock = { now: () => NOON + this.now, monotonic: () => this.now }
    this.mixer = new Mixer(amount)
    this.workers = Array.from(
      { length: size },
      (_, index) => new Worker(`w${index}`, amount, clock),
    )
  }

  get passed(): number {
    return this.workers.reduce((sum, { passed }) => sum + passed, 0)
  }

  act({ what, who, count }: Act): void {
    const worker = this.workers[who % this.workers.length]
    if (worker === undefined) return
    if (what === 'call') for (let call = 0; call < count; call += 1) worker.call()
    else if (what === 'wait') this.now += count * 100
    else this.#answer(worker, what)
  }

  #answer(worker: Worker, how: 'answer' | 'twice' | 'lose'): void {
    const ask = worker.asks.shift()
    if (ask === undefined) return
    const answer = this.mixer.allocate(ask)
    // The mixer has heard it, and the proxy never learns what it said.
    worker.account.answered(how === 'lose' ? { id: ask.id, failed: 'away' } : answer)
    if (how === 'twice') worker.account.answered(answer)
  }

  /** Everybody calls until nobody passes, with a mixer that answers all. */
  finish(): void {
    for (let idle = 0; idle < 3; ) {
      const before = this.passed
      for (const worker of this.workers) {
        worker.call()
        while (worker.asks.length > 0) this.#answer(worker, 'answer')
      }
      this.now += this.passed === before ? 6_000 : 1
      idle = this.passed === before ? idle + 1 : 0
    }
  }
}

interface Act {
  readonly what: 'call' | 'answer' | 'twice' | 'lose' | 'wait'
  readonly who: number
  readonly count: number
}

const acts = fc.array(
  fc.record<Act>({
    what: fc.constantFrom('call', 'call', 'call', 'answer', 'twice', 'lose', 'wait'),
    who: fc.nat(3),
    count: fc.integer({ min: 1, max: 20 }),
  }),
  { maxLength: 120 },
)

await test('one worker lets exactly the amount through, whatever becomes of its asks', async t => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), acts, (amount, story) => {
      const fleet = new Fleet(amount, 1)
      for (const act of story) {
        fleet.act(act)
        if (fleet.passed > amount) return false
      }
      fleet.finish()
      return fleet.passed === amount && fleet.mixer.left === 0
    }),
    { numRuns: 500 },
  )
  t.pass()
})

await test('several let no less through than is there, and no more than each could believe', async t => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 }),
      fc.integer({ min: 2, max: 4 }),
      acts,
      (amount, size, story) => {
        const fleet = new Fleet(amount, size)
        for (const act of story) fleet.act(act)
        for (const { passed } of fleet.workers) if (passed > amount) return false
        fleet.finish()
        return fleet.mixer.left === 0 && fleet.passed >= amount && fleet.passed <= amount * size
      },
    ),
    { numRuns: 500 },
  )
  t.pass()
})

await test('several whose questions are answered before the next call let exactly the amount through', async t => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 }),
      fc.array(fc.nat(3), { maxLength: 600 }),
      (amount, callers) => {
        const fleet = new Fleet(amount, 4)
        for (const who of callers) {
          fleet.act({ what: 'call', who, count: 1 })
          for (const worker of fleet.workers)
            while (worker.asks.length > 0)
              fleet.act({ what: 'answer', who: fleet.workers.indexOf(worker), count: 1 })
          fleet.now += 1
        }
        fleet.finish()
        return fleet.passed - amount <= 3
      },
    ),
    { numRuns: 300 },
  )
  t.pass()
})
