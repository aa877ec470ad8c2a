/** What quotas must do on either database, as tests; `open` gives a new handle on the same database each time. */
import type { Test } from 'tap'
import type { AllocationMode, Quota } from '../../../src/contracts/quota.ts'
import { openDatabase } from '../../../src/mixer/ledger/open-database.ts'
import { type Allocated, QuotaLedger } from '../../../src/mixer/quota/quota-ledger.ts'
import { FakeClock } from '../fake-clock.ts'

const CALLS: Quota = { name: 'calls', of: 'calls', amount: 100, per: 'minute' }
const NOON = Date.UTC(2026, 10, 25, 12)
const DAY_MS = 86_400_000

/** `url` gives that of a new, empty database. */
export async function testQuotas(t: Test, url: (t: Test) => Promise<string>): Promise<void> {
  const lab = async (t: Test): Promise<Lab> => {
    const ledger = await url(t)
    const clock = new FakeClock(NOON + 10_000)
    return new Lab(t, ledger, clock)
  }

  await t.test('normal grants all or nothing, bestEffort what is left', async t => {
    const quotas = await (await lab(t)).open()
    const resetAt = NOON + 60_000
    const expected = (granted: number, remaining: number): Allocated => ({
      kind: 'allocated',
      granted,
      remaining,
      resetAt,
    })
    t.same(await quotas.take('a', 60), expected(60, 40))
    t.same(await quotas.take('b', 50), expected(0, 40))
    t.same(await quotas.take('c', 50, 'checkOnly'), expected(0, 40))
    t.same(await quotas.take('d', 40, 'checkOnly'), expected(40, 40))
    t.same(await quotas.take('e', 50, 'bestEffort'), expected(40, 0))
    t.same(await quotas.take('f', 1, 'bestEffort'), expected(0, 0))
    t.same(await quotas.take('g', 60, 'normal', { tenant: 'globex' }), expected(60, 40))
    const daily = { quota: { ...CALLS, name: 'daily', per: 'day' } as const }
    t.match(await quotas.take('h', 60, 'normal', daily), { granted: 60, remaining: 40 })
  })

  await t.test('the same id allocates once, and answers the same for ever', async t => {
    const { open, clock } = await lab(t)
    const quotas = await open()
    const first = await quotas.take('a', 60)
    t.same(await quotas.take('a', 60), first)
    await quotas.take('b', 30)
    clock.ms += 120_000
    t.same(await quotas.take('a', 60), first, 'in another window, too')
    t.match(await quotas.take('c', 100), { granted: 100 }, 'which it takes nothing of')
    t.same(await quotas.take('a', 61), { kind: 'conflict' })
    t.same(await quotas.take('a', 60, 'bestEffort'), { kind: 'conflict' })
    const other = { quota: { ...CALLS, name: 'other' } }
    t.same(await quotas.take('a', 60, 'normal', other), { kind: 'conflict' })
    t.match(await quotas.take('a', 60, 'normal', { tenant: 'globex' }), { kind: 'allocated' })
  })

  await t.test('checkOnly uses up no id', async t => {
    const quotas = await (await lab(t)).open()
    await quotas.take('a', 10, 'checkOnly')
    t.match(await quotas.take('a', 20), { kind: 'allocated', granted: 20, remaining: 80 })
  })

  await t.test('a window ends at its moment, and the next one is whole', async t => {
    const { open, clock } = await lab(t)
    const quotas = await open()
    const month: Quota = { ...CALLS, name: 'month', per: 'month' }
    const take = async (id: string): Promise<unknown> =>
      quotas.take(id, 100, 'bestEffort', { quota: month })
    clock.ms = Date.UTC(2028, 1, 29, 23, 59, 59, 999)
    t.match(await take('a'), { granted: 100, resetAt: Date.UTC(2028, 2, 1) })
    t.match(await take('b'), { granted: 0 })
    clock.ms += 1
    t.match(await take('c'), { granted: 100, resetAt: Date.UTC(2028, 3, 1) })
    clock.ms -= 1
    t.match(await take('d'), { granted: 0 }, 'a clock that is set back finds the old window')
  })

  await t.test('a quota that is changed counts what is used', async t => {
    const quotas = await (await lab(t)).open()
    await quotas.take('a', 60)
    const lower = { quota: { ...CALLS, amount: 50 } }
    t.match(await quotas.take('b', 1, 'bestEffort', lower), { granted: 0, remaining: 0 })
    const raised = { quota: { ...CALLS, amount: 200 } }
    t.match(await quotas.take('c', 100, 'normal', raised), { granted: 100, remaining: 40 })
  })

  await t.test('many callers at two mixers get exactly what there is', async t => {
    const { open } = await lab(t)
    const mixers = [await open(), await open()]
    const results = await Promise.all(
      Array.from({ length: 300 }, async (_, index) =>
        mixers[index % 2]?.take(`id-${index}`, 1 + (index % 3), 'bestEffort'),
      ),
    )
    const granted = results.reduce((sum, result) => sum + grantedOf(result), 0)
    t.equal(granted, 100)
    t.match(await mixers[0]?.take('last', 1, 'bestEffort'), { granted: 0 })
  })

  await t.test('the same ids at two mixers at once allocate once', async t => {
    const { open } = await lab(t)
    const mixers = [await open(), await open(), await open()]
    const results = await Promise.all(
      Array.from({ length: 60 }, async (_, index) =>
        mixers[index % 3]?.take(`id-${index % 10}`, 3),
      ),
    )
    for (const result of results) t.match(result, { kind: 'allocated', granted: 3 })
    t.match(await mixers[0]?.take('x', 1, 'checkOnly'), { remaining: 70 })
  })

  await t.test(
    'the same id for two quotas at two mixers at once allocates one of them',
    async t => {
      const { open } = await lab(t)
      const [one, two] = [await open(), await open()]
      const other = { quota: { ...CALLS, name: 'other' } }
      for (let round = 0; round < 10; round += 1) {
        const id = `id-${round}`
        const kinds = await Promise.all([one.take(id, 1), two.take(id, 1, 'normal', other)])
        t.same(kinds.map(({ kind }) => kind).toSorted(), ['allocated', 'conflict'])
      }
      const left = [one.take('x', 1, 'checkOnly'), one.take('x', 1, 'checkOnly', other)]
      const remaining = (await Promise.all(left)).map(remainingOf)
      t.equal(200 - (remaining[0] ?? 0) - (remaining[1] ?? 0), 10)
    },
  )

  await t.test('old windows and ids go, and no younger ones', async t => {
    const { open, clock } = await lab(t)
    const quotas = await open()
    const end = NOON + 60_000
    const sweepAt = async (time: number): Promise<void> => {
      clock.ms = time
      t.equal(await quotas.ledger.sweep(), false)
    }
    const take = async (id: string, amount: number, by: 'deployment' | 'proxy'): Promise<unknown> =>
      quotas.take(id, amount, 'normal', { by })
    await take('deployment', 30, 'deployment')
    await take('proxy', 30, 'proxy')
    await sweepAt(end + 5 * 60_000)
    t.match(await take('proxy', 30, 'proxy'), { granted: 30, resetAt: end })
    await sweepAt(end + 5 * 60_000 + 1)
    t.match(await take('proxy', 30, 'proxy'), { resetAt: end + 6 * 60_000 }, 'it is free again')
    clock.ms = end - 1
    t.match(await take('x', 1, 'proxy'), { remaining: 39 }, 'the window is still known')
    await sweepAt(end + DAY_MS)
    t.match(await take('deployment', 30, 'deployment'), { granted: 30, resetAt: end })
    await sweepAt(end + DAY_MS + 1)
    t.match(await take('deployment', 40, 'deployment'), { granted: 40, remaining: 60 })
    clock.ms = end - 1
    t.match(await take('y', 1, 'proxy'), { remaining: 99 }, 'the window is gone')
  })

  await t.test('many old ids go in pieces', async t => {
    const { open, clock } = await lab(t)
    const quotas = await open()
    const ids = Array.from({ length: 1_500 }, (_, index) => `id-${index}`)
    await Promise.all(ids.map(id => quotas.take(id, 1, 'bestEffort')))
    clock.ms += 2 * DAY_MS
    t.equal(await quotas.ledger.sweep(), true)
    t.equal(await quotas.ledger.sweep(), false)
  })
}

function grantedOf(result: unknown): number {
  return (result as { granted: number }).granted
}

function remainingOf(result: unknown): number {
  return (result as { remaining: number }).remaining
}

interface More {
  readonly by?: 'deployment' | 'proxy'
  readonly tenant?: string
  readonly quota?: Quota
}

class OpenQuotas {
  readonly ledger: QuotaLedger

  constructor(ledger: QuotaLedger) {
    this.ledger = ledger
  }

  take(
    id: string,
    amount: number,
    mode: AllocationMode = 'normal',
    { tenant = 'acme', quota = CALLS, by = 'deployment' }: More = {},
  ): ReturnType<QuotaLedger['allocate']> {
    return this.ledger.allocate({ tenant, quota, by, allocation: { id, amount, mode } })
  }
}

class Lab {
  readonly clock: FakeClock
  readonly open: () => Promise<OpenQuotas>

  constructor(t: Test, url: string, clock: FakeClock) {
    this.clock = clock
    this.open = async () => {
      const opened = await openDatabase(url)
      if ('refusal' in opened) throw new Error(opened.refusal)
      t.teardown(() => opened.database.close())
      return new OpenQuotas(new QuotaLedger(opened.database, clock))
    }
  }
}
