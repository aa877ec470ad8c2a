/**
 * What every ledger must do, as tests that take the ledger from outside. `open` gives a new handle on the same ledger
 * each time; each test gets a fresh one.
 */
import type { Test } from 'tap'
import {
  noExactUsage,
  USAGE_COUNTERS,
  type UsageCounter,
  type UsageRecord,
  type UsageReport,
} from '../../../src/contracts/usage-report.ts'
import type { Ledger, LedgerGroup, LedgerQuery } from '../../../src/mixer/ledger/ledger.ts'
import { createUsageLedger } from '../../../src/mixer/ledger/usage-ledger.ts'
import type { OpenLedger } from './open-ledger.ts'
import { MINUTE, NOON, record, report } from './reports.ts'

export type LedgerFactory = (t: Test) => Promise<{ readonly open: () => Promise<OpenLedger> }>

export async function testLedger(t: Test, create: LedgerFactory): Promise<void> {
  await testSequences(t, create)
  await testAnnouncements(t, create)
  await testConcurrency(t, create)
  await testSums(t, create)
  await testQueries(t, create)
}

async function testSequences(t: Test, create: LedgerFactory): Promise<void> {
  await t.test('a report is applied once, however often it comes', async t => {
    const ledger = await (await create(t)).open()
    t.same(await ledger.apply(report(1)), { kind: 'applied', durable: 1 })
    t.same(await ledger.apply(report(1)), { kind: 'repeated', durable: 1 })
    t.same(await ledger.apply(report(2)), { kind: 'applied', durable: 2 })
    t.same(await ledger.apply(report(1)), { kind: 'repeated', durable: 2 })
    t.same(await totals(ledger), sumsOf([record(), record()]))
    await ledger.close()
  })

  await t.test('a gap is refused, names what is expected and changes nothing', async t => {
    const ledger = await (await create(t)).open()
    t.same(
      await ledger.apply(report(2)),
      { kind: 'gap', expected: 1 },
      'a new producer begins with 1',
    )
    t.same(await ledger.apply(report(1)), { kind: 'applied', durable: 1 })
    t.same(await ledger.apply(report(3)), { kind: 'gap', expected: 2 })
    t.same(await totals(ledger), sumsOf([record()]))
    t.same(await ledger.apply(report(2)), { kind: 'applied', durable: 2 })
    await ledger.close()
  })

  await t.test(
    'a report of several batches is applied whole where its first is the next',
    async t => {
      const ledger = await (await create(t)).open()
      const of = (first: number, sequence: number): UsageReport => ({ ...report(sequence), first })
      t.same(await ledger.apply(of(2, 3)), { kind: 'gap', expected: 1 })
      t.same(await ledger.apply(of(1, 5)), { kind: 'applied', durable: 5 })
      t.same(await ledger.apply(of(1, 5)), { kind: 'repeated', durable: 5 }, 'the same')
      t.same(await ledger.apply(of(2, 4)), { kind: 'repeated', durable: 5 }, 'a part of it')
      t.same(await ledger.apply(of(5, 9)), { kind: 'repeated', durable: 5 }, 'it overlaps')
      t.same(await ledger.apply(of(7, 9)), { kind: 'gap', expected: 6 })
      t.same(await totals(ledger), sumsOf([record()]), 'none of these changed anything')
      t.same(await ledger.apply(of(6, 9)), { kind: 'applied', durable: 9 })
      t.same(await ledger.apply(report(10)), { kind: 'applied', durable: 10 }, 'first is sequence')
      t.same(await totals(ledger), sumsOf([record(), record(), record()]))
      await ledger.close()
    },
  )

  await t.test('each producer has its own sequence', async t => {
    const ledger = await (await create(t)).open()
    await ledger.apply(report(1, [record()], 'p1'))
    t.same(await ledger.apply(report(1, [record()], 'p2')), { kind: 'applied', durable: 1 })
    t.same(await ledger.apply(report(3, [record()], 'p2')), { kind: 'gap', expected: 2 })
    t.same(await totals(ledger), sumsOf([record(), record()]))
    await ledger.close()
  })

  await t.test('a report without records only advances the sequence', async t => {
    const ledger = await (await create(t)).open()
    t.same(await ledger.apply(report(1, [])), { kind: 'applied', durable: 1 })
    t.equal(await totals(ledger), undefined)
    t.same(await ledger.apply(report(2)), { kind: 'applied', durable: 2 })
    await ledger.close()
  })

  await t.test(
    'reports twice over and in random order give the totals of once in order',
    async t => {
      const ledger = await (await create(t)).open()
      const records = Array.from({ length: 20 }, (_, index) =>
        record({ calls: index, window: NOON + (index % 3) * MINUTE }),
      )
      const waiting = [...records.entries(), ...records.entries()].map(([index, one]) =>
        report(index + 1, [one]),
      )
      for (let turn = 0; waiting.length > 0; turn += 1) {
        const next = waiting.splice((turn * 7) % waiting.length, 1)[0]
        if (next && (await ledger.apply(next)).kind === 'gap') waiting.push(next)
      }
      t.same(await totals(ledger), sumsOf(records))
      await ledger.close()
    },
  )
}

async function testAnnouncements(t: Test, create: LedgerFactory): Promise<void> {
  await t.test('a report of a producer that nobody has announced changes nothing', async t => {
    const handle = await (await create(t)).open()
    const ledger = createUsageLedger(handle.tables, { now: () => NOON, monotonic: () => 0 })
    for (const sequence of [1, 2])
      t.same(await ledger.apply(report(sequence)), { kind: 'unknown' }, `sequence ${sequence}`)
    t.same(await ledger.apply(report(1, [])), { kind: 'unknown' }, 'without records')
    t.same(await totals(ledger), undefined)
    t.match(await ledger.books({ tenants: 0, after: '', limit: 10 }), { producers: [] })
    const announcement = { proxy: 'proxy-1', producers: ['p1'] }
    t.same(await ledger.announce(announcement), {
      kind: 'announced',
      durable: new Map([['p1', 0]]),
    })
    t.same(await ledger.apply(report(1)), { kind: 'applied', durable: 1 })
    t.same(await ledger.apply(report(1, [record()], 'p2')), { kind: 'unknown' })
    await handle.close()
  })

  await t.test('who is announced again, by many at once, keeps what there is', async t => {
    const { open } = await create(t)
    const handles = await Promise.all([open(), open(), open()])
    const [first] = handles
    await first.apply(report(1))
    const producers = ['p3', 'p1', 'p2', 'p1']
    const answers = await Promise.all(
      handles.flatMap((handle, index) =>
        [producers, producers.toReversed()].map(names =>
          handle.announce({ proxy: `proxy-${index}`, producers: names }),
        ),
      ),
    )
    for (const answer of answers) {
      if (answer.kind !== 'announced') throw new Error(answer.detail)
      t.same(Object.fromEntries(answer.durable), { p1: 1, p2: 0, p3: 0 })
    }
    t.same(await first.apply(report(2)), { kind: 'applied', durable: 2 })
    t.match(await first.books({ tenants: 0, after: '', limit: 10 }), {
      producers: [{ producer: 'p1', proxy: /^proxy-[012]$/, durable: 2 }],
    })
    await Promise.all(handles.map(handle => handle.close()))
  })
}

async function testConcurrency(t: Test, create: LedgerFactory): Promise<void> {
  await t.test('two handles on one ledger apply each report once', async t => {
    const { open } = await create(t)
    const handles = [await open(), await open()] as const
    const kinds: string[] = []
    for (let sequence = 1; sequence <= 10; sequence += 1) {
      const results = await Promise.all(handles.map(handle => handle.apply(report(sequence))))
      kinds.push(
        results
          .map(result => result.kind)
          .toSorted()
          .join(),
      )
    }
    t.same(new Set(kinds), new Set(['applied,repeated']))
    for (const handle of handles) {
      t.same(await totals(handle), sumsOf(Array.from({ length: 10 }, () => record())))
      await handle.close()
    }
  })

  await t.test('a closed ledger opens with its totals and its sequences', async t => {
    const { open } = await create(t)
    const before = await open()
    await before.apply(report(1))
    await before.close()
    const after = await open()
    t.same(await totals(after), sumsOf([record()]))
    t.same(await after.apply(report(1)), { kind: 'repeated', durable: 1 })
    t.equal(await after.check(), undefined)
    await after.close()
  })
}

async function testSums(t: Test, create: LedgerFactory): Promise<void> {
  await t.test('sums are exact where floating point is not', async t => {
    const ledger = await (await create(t)).open()
    const most = Number.MAX_SAFE_INTEGER
    await ledger.apply(
      report(1, [record({ egress: most }), record({ egress: most }), record({ egress: 2 })]),
    )
    await ledger.apply(report(2, [record({ egress: 1 })]))
    t.equal((await totals(ledger))?.egress, 2n * BigInt(most) + 3n)
    await ledger.close()
  })

  await t.test(
    'a window holds up to 2^63 - 1, and a report that would pass it changes nothing',
    async t => {
      const ledger = await (await create(t)).open()
      const most = Number.MAX_SAFE_INTEGER
      const full = [
        ...Array.from({ length: 1_024 }, () => record({ callMs: most })),
        record({ callMs: 1_023 }),
      ]
      t.same(await ledger.apply(report(1, full)), { kind: 'applied', durable: 1 })
      t.equal((await totals(ledger))?.callMs, 2n ** 63n - 1n)
      const other = record({ tenant: 'globex', callMs: most })
      t.same(await ledger.apply(report(2, [other, record({ callMs: 1 })])), {
        kind: 'overflow',
        record: 1,
      })
      t.equal((await totals(ledger))?.callMs, 2n ** 63n - 1n)
      t.same(await ledger.apply(report(2, [other])), { kind: 'applied', durable: 2 })
      t.equal(
        (await totals(ledger))?.callMs,
        2n ** 63n - 1n + BigInt(most),
        'over many windows a sum may be larger',
      )
      await ledger.close()
    },
  )
}

const SPREAD: readonly UsageRecord[] = [
  record({ window: NOON, calls: 1 }),
  record({ window: NOON + MINUTE, calls: 2, operation: 'create-order' }),
  record({ window: NOON + 60 * MINUTE, calls: 4, code: '5xx', tenant: 'globex' }),
  record({
    window: NOON + 24 * 60 * MINUTE,
    calls: 8,
    listener: 'private',
    routability: 'private',
  }),
]

async function testQueries(t: Test, create: LedgerFactory): Promise<void> {
  const cases: readonly { name: string; query: Partial<LedgerQuery>; calls: readonly string[] }[] =
    [
      { name: 'everything', query: {}, calls: ['15'] },
      { name: 'one tenant', query: { tenant: 'globex' }, calls: ['4'] },
      { name: 'a tenant without usage', query: { tenant: 'initech' }, calls: [] },
      {
        name: 'from counts, to does not',
        query: { from: NOON + MINUTE, to: NOON + 60 * MINUTE },
        calls: ['2'],
      },
      { name: 'by tenant', query: { dimensions: ['tenant'] }, calls: ['acme 11', 'globex 4'] },
      {
        name: 'by operation',
        query: { dimensions: ['operation'] },
        calls: ['create-order 2', 'read-order 13'],
      },
      {
        name: 'by listener',
        query: { dimensions: ['listener'] },
        calls: ['private 8', 'public 7'],
      },
      { name: 'by code', query: { dimensions: ['code'] }, calls: ['2xx 11', '5xx 4'] },
      {
        name: 'by routability',
        query: { dimensions: ['routability'] },
        calls: ['l7 7', 'private 8'],
      },
      { name: 'by minute', query: { grain: 'minute' }, calls: ['0 1', '1 2', '60 4', '1440 8'] },
      { name: 'by hour', query: { grain: 'hour' }, calls: ['0 3', '60 4', '1440 8'] },
      {
        name: 'by day, which begins at midnight UTC',
        query: { grain: 'day' },
        calls: ['-720 7', '720 8'],
      },
      {
        name: 'by hour and two dimensions',
        query: { grain: 'hour', dimensions: ['code', 'tenant'] },
        calls: ['0 2xx acme 3', '60 5xx globex 4', '1440 2xx acme 8'],
      },
      {
        name: 'as many groups as the limit',
        query: { dimensions: ['tenant'], limit: 2 },
        calls: ['acme 11', 'globex 4'],
      },
    ]
  await t.test('queries', async t => {
    const ledger = await (await create(t)).open()
    await ledger.apply(report(1, [...SPREAD]))
    for (const { name, query, calls } of cases)
      t.same((await groups(ledger, query)).map(describe), calls, name)
    const tooMany = await ledger.usage({ ...ALL, dimensions: ['tenant'], limit: 1 })
    t.same(tooMany, { kind: 'too-many' }, 'more groups than the limit')
    await ledger.close()
  })
}

const ALL: LedgerQuery = { from: 0, to: NOON * 2, dimensions: [], limit: 1_000 }

async function groups(
  ledger: Ledger,
  query: Partial<LedgerQuery>,
): Promise<readonly LedgerGroup[]> {
  const usage = await ledger.usage({ ...ALL, ...query })
  if (usage.kind !== 'usage') throw new Error(`no usage but ${JSON.stringify(usage)}`)
  return usage.groups
}

async function totals(ledger: Ledger): Promise<LedgerGroup['sums'] | undefined> {
  return (await groups(ledger, {}))[0]?.sums
}

function describe({ window, dimensions, sums }: LedgerGroup): string {
  const minutes = window === undefined ? [] : [(window - NOON) / MINUTE]
  return [...minutes, ...Object.values(dimensions), sums.calls].join(' ')
}

function sumsOf(records: readonly UsageRecord[]): Record<UsageCounter, bigint> {
  const sums = noExactUsage()
  for (const one of records)
    for (const counter of USAGE_COUNTERS) sums[counter] += BigInt(one[counter])
  return sums
}
