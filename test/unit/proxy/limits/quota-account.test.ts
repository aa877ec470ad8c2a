/** One quota in one worker: what passes, what is asked, and what becomes of both while the mixer is slow, away or has no more. */
import { test } from 'tap'
import type { QuotaConfig } from '../../../../src/config/quota-schema.ts'
import type { QuotaAsk } from '../../../../src/proxy/ipc.ts'
import { QuotaAccount, type QuotaCounter } from '../../../../src/proxy/limits/quota-account.ts'

const MIDDAY = Date.parse('2026-11-25T12:00:30.000Z')

class Lab implements QuotaCounter {
  open = true
  openedCount = 0
  readonly asks: QuotaAsk[] = []
  readonly account: QuotaAccount
  /** What is left at the mixer. */
  left: number
  #monotonic = 1_000
  #timeOfDay = MIDDAY
  #ids = 0
  readonly clock = { now: () => this.#timeOfDay, monotonic: () => this.#monotonic }

  constructor(quota: Partial<QuotaConfig> = {}) {
    const whole = { name: 'q', of: 'calls', amount: 10, per: 'minute', ...quota } as const
    this.left = whole.amount
    this.account = new QuotaAccount(this, 'acme', whole)
  }

  nextId(): string {
    this.#ids += 1
    return `ask-${this.#ids}`
  }

  ask(_account: QuotaAccount, ask: QuotaAsk): void {
    this.asks.push(ask)
  }

  opened(): void {
    this.openedCount += 1
  }

  pass(ms: number, jump = 0): void {
    this.#monotonic += ms
    this.#timeOfDay += ms + jump
  }

  /** One call; whether it passed, or why not. */
  call(amount = 1): string {
    const verdict = this.account.verdict(this.#monotonic)
    if (verdict !== undefined) return verdict
    this.account.spend(amount, this.#monotonic)
    return 'passed'
  }

  calls(count: number): string[] {
    return Array.from({ length: count }, () => this.call())
  }

  /** The mixer answers what was asked since, in the window that ends in `resetInMs`. */
  answer(resetInMs = 30_000): void {
    for (const { id, amount } of this.asks.splice(0)) {
      const granted = Math.min(amount, this.left)
      this.left -= granted
      const resetAt = this.#timeOfDay + resetInMs
      this.account.answered({ id, granted, remaining: this.left, resetAt, resetInMs })
    }
  }

  fail(): void {
    for (const { id } of this.asks.splice(0)) this.account.answered({ id, failed: 'away' })
  }
}

const passed = (count: number): string[] => Array.from({ length: count }, () => 'passed')
const exhausted = (count: number): string[] =>
  Array.from({ length: count }, () => 'quota_exhausted')

await test('with a mixer that answers at once exactly the amount passes', async t => {
  const lab = new Lab()
  const results: string[] = []
  for (let call = 0; call < 15; call += 1) {
    results.push(lab.call())
    lab.answer()
  }
  t.same(results, [...passed(10), ...exhausted(5)])
  t.equal(lab.left, 0, 'all of it was taken')
})

await test('the first calls wait for nobody, and not more than all pass', async t => {
  const lab = new Lab()
  t.same(lab.calls(12), [...passed(10), ...exhausted(2)])
  t.equal(lab.asks.length, 1, 'one ask at a time')
  lab.answer()
  lab.answer()
  t.equal(lab.left, 0, 'the debt is taken')
  t.same(lab.calls(1), exhausted(1))
})

await test('a slow mixer that has less than it seems stops the debt where it ends', async t => {
  const lab = new Lab({ amount: 100 })
  lab.left = 8
  t.same(lab.calls(6), passed(6))
  lab.answer()
  lab.answer()
  t.same(lab.calls(5), [...passed(2), ...exhausted(3)])
  lab.answer()
  t.equal(lab.left, 0)
})

await test('it asks before it has run out, and less the less there is', async t => {
  const lab = new Lab({ amount: 1_000 })
  let asks = 0
  let most = 0
  for (let call = 0; call < 1_000; call += 1) {
    t.equal(lab.call(), 'passed')
    for (const { amount } of lab.asks) {
      asks += 1
      most = Math.max(most, amount)
      if (lab.left > 4) t.ok(amount <= lab.left / 4 + 1_000 / 4, `${amount} of ${lab.left}`)
    }
    lab.answer()
    lab.pass(1)
  }
  t.same(lab.calls(1), exhausted(1))
  t.ok(asks < 100, `${asks} asks`)
  t.ok(most <= 300, `at most ${most} at once`)
})

await test('a tenant with few calls does not ask for each of them', async t => {
  const lab = new Lab({ amount: 1_000_000, per: 'month' })
  let asks = 0
  for (let call = 0; call < 1_000; call += 1) {
    lab.call()
    asks += lab.asks.length
    lab.answer(10 * 86_400_000)
    lab.pass(2_000)
  }
  t.ok(asks < 5, `${asks} asks for 1,000 calls`)
})

await test('a window ends with its credit, and the next begins whole', async t => {
  const lab = new Lab()
  lab.calls(10)
  lab.answer(5_000)
  lab.answer(5_000)
  t.same(lab.calls(1), exhausted(1))
  t.equal(lab.account.resetInMs(lab.clock.monotonic()), 5_000, 'the mixer says when')
  lab.pass(4_999)
  t.same(lab.calls(1), exhausted(1))
  lab.pass(1)
  lab.left = 10
  t.same(lab.calls(12), [...passed(10), ...exhausted(2)])
})

await test('before the mixer has spoken, the window is that of the own clock', async t => {
  const lab = new Lab()
  t.equal(lab.account.resetAt, Date.parse('2026-11-25T12:01:00.000Z'))
  t.equal(lab.account.resetInMs(lab.clock.monotonic()), 30_000)
  lab.calls(11)
  lab.pass(30_000)
  t.same(lab.calls(1), passed(1))
})

await test('a clock that jumps moves no window that the mixer has named', async t => {
  for (const jump of [-3_600_000, 86_400_000]) {
    const lab = new Lab()
    lab.calls(10)
    lab.answer(20_000)
    lab.answer(20_000)
    lab.pass(10_000, jump)
    t.same(lab.calls(1), exhausted(1))
    lab.pass(10_000)
    t.same(lab.calls(1), passed(1))
  }
})

await test('an answer that comes after its window is of no use', async t => {
  const lab = new Lab()
  lab.calls(10)
  const [late] = lab.asks.splice(0)
  lab.pass(30_000)
  lab.calls(1)
  const resetAt = lab.clock.now()
  lab.account.answered({ id: late?.id ?? '', granted: 10, remaining: 0, resetAt, resetInMs: 1 })
  t.same(lab.calls(9), passed(9), 'the new window is still whole')
  t.same(lab.calls(1), exhausted(1))
})

await test('open: while the mixer is away calls pass and are counted, and are debited later', async t => {
  const lab = new Lab()
  lab.call()
  lab.fail()
  t.same(lab.calls(19), passed(19))
  t.equal(lab.openedCount, 19)
  t.equal(lab.asks.length, 0, 'not asked again at once')
  lab.pass(1_000)
  lab.call()
  t.same(
    lab.asks.map(ask => ask.id),
    ['ask-1'],
    'the same ask again, which may have been heard',
  )
  lab.answer()
  lab.answer()
  t.equal(lab.left, 0)
  t.same(lab.calls(2), exhausted(2))
})

await test('closed: while the mixer is away only what is allotted passes', async t => {
  const lab = new Lab({ amount: 100 })
  lab.open = false
  lab.call()
  lab.answer()
  lab.calls(1)
  lab.fail()
  const results = lab.calls(5)
  t.ok(results.includes('passed'), 'what was allotted')
  t.equal(results.at(-1), 'quota_unavailable')
  lab.pass(1_000)
  t.equal(lab.call(), 'quota_unavailable')
  t.equal(lab.asks.length, 1, 'a refused call asks again')
  lab.answer()
  t.equal(lab.call(), 'passed')
})

await test('closed: it comes back also where no ask is left over', async t => {
  const lab = new Lab()
  lab.open = false
  lab.call()
  lab.fail()
  lab.pass(60_000)
  t.equal(lab.call(), 'quota_unavailable', 'a new window changes nothing')
  t.equal(lab.asks.length, 1)
  lab.answer()
  t.equal(lab.call(), 'passed')
})

await test('an ask that nobody answers has failed', async t => {
  const lab = new Lab()
  lab.open = false
  lab.call()
  lab.pass(5_001)
  t.equal(lab.call(), 'quota_unavailable')
})

await test('what is used up is looked at again, for it may have been raised', async t => {
  const lab = new Lab({ amount: 10 })
  lab.calls(10)
  lab.answer()
  lab.answer()
  lab.calls(3)
  t.equal(lab.asks.length, 0)
  lab.pass(5_000)
  t.same(lab.calls(2), exhausted(2))
  t.equal(lab.asks.length, 1)
  lab.left = 3
  lab.answer()
  t.equal(lab.call(), 'passed')
})

await test('what was not used after all can be spent again', async t => {
  const lab = new Lab()
  lab.calls(10)
  lab.account.giveBack(1)
  t.same(lab.calls(2), [...passed(1), ...exhausted(1)])
})

await test('bytes pass as long as there is credit, and beyond it by the last piece', async t => {
  const lab = new Lab({ of: 'bytes', amount: 1_000 })
  t.equal(lab.call(1_500), 'passed')
  lab.answer()
  t.equal(lab.left, 0)
  t.ok(lab.account.exhausted)
  t.equal(lab.call(1), 'quota_exhausted')
})
