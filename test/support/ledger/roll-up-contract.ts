/** What roll-ups and retention of every ledger must do; `open` gives a new handle on the same ledger each time. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import {
  USAGE_DIMENSIONS,
  USAGE_GRAINS,
  type UsageGrain,
} from '../../../src/contracts/usage-query.ts'
import type { UsageRecord } from '../../../src/contracts/usage-report.ts'
import type { Ledger, LedgerBooks, LedgerQuery } from '../../../src/mixer/ledger/ledger.ts'
import { expireStep, type Retention } from '../../../src/mixer/ledger/retention.ts'
import { rollUpStep } from '../../../src/mixer/ledger/roll-up.ts'
import type { UsageTables } from '../../../src/mixer/ledger/usage-tables.ts'
import { SeededRandom } from '../seeded-random.ts'
import type { OpenLedger } from './open-ledger.ts'
import { MINUTE, NOON, record, report } from './reports.ts'
import { expectedGroups, sumOf } from './usage-model.ts'

export interface LedgerPlace {
  /** As in the configuration. */
  readonly url: string
  readonly open: () => Promise<OpenLedger>
}

const { hour: HOUR, day: DAY } = USAGE_GRAINS
const TENANTS = ['acme', 'globex', 'initech', 'umbrella']
const CHILD = new URL('rolling-child.ts', import.meta.url).pathname
/** Two days and a bit, from before a midnight on. */
const SPAN_MINUTES = 3_000
const FIRST = NOON - 13 * HOUR

export async function testRollUps(
  t: Test,
  create: (t: Test) => Promise<LedgerPlace>,
): Promise<void> {
  const openOne = async (t: Test): Promise<OpenLedger> => {
    const ledger = await (await create(t)).open()
    t.teardown(() => ledger.close())
    return ledger
  }

  await t.test(
    'whatever is rolled up, and however late usage comes, every answer is exact',
    async t => {
      const seed = Number(process.env['LEDGER_SEED'] ?? Date.now() % 2 ** 31)
      t.comment(`LEDGER_SEED=${seed}`)
      const random = new SeededRandom(seed)
      const ledger = await openOne(t)
      const applied: UsageRecord[] = []
      for (let turn = 1; turn <= 40; turn += 1) {
        const records = Array.from({ length: random.between(1, 30) }, () => someRecord(random))
        t.match(await ledger.apply(report(turn, records)), { kind: 'applied' })
        applied.push(...records)
        const until = FIRST + Math.floor((SPAN_MINUTES * turn) / 40) * MINUTE
        // Sometimes all, sometimes not even one minute of many tenants.
        for (let steps = random.below(30); steps > 0; steps -= 1)
          if ((await rollUpStep(ledger.tables, until, random.between(1, 8))) === undefined) break
        if (turn % 4 === 0) await compare(t, ledger, applied, random)
      }
      await rollUpAll(ledger.tables, FIRST + SPAN_MINUTES * MINUTE)
      for (let turn = 0; turn < 5; turn += 1) await compare(t, ledger, applied, random)
      await balanced(t, ledger, applied)
    },
  )

  await t.test('sums of hours and days are read where they hold all that is asked for', async t => {
    const ledger = await openOne(t)
    await ledger.apply(
      report(
        1,
        Array.from({ length: 600 }, (_, minute) => record({ window: NOON + minute * MINUTE })),
      ),
    )
    await rollUpAll(ledger.tables, NOON + DAY)
    // Nobody else does that: it shows which of the tables an answer comes from.
    await ledger.database.transaction(session => session.run('UPDATE usage SET calls = 1000'))
    const calls = async (query: Partial<LedgerQuery>): Promise<unknown> => {
      const usage = await ledger.usage({
        from: NOON,
        to: NOON + 600 * MINUTE,
        dimensions: [],
        limit: 100,
        ...query,
      })
      return usage.kind === 'usage'
        ? usage.groups.reduce((sum, group) => sum + group.sums.calls, 0n)
        : usage
    }
    t.equal(await calls({}), 600n)
    t.equal(await calls({ grain: 'hour' }), 600n)
    t.equal(await calls({ grain: 'day' }), 600n)
    t.equal(await calls({ from: NOON - MINUTE }), 600n)
    t.equal(
      await calls({ from: NOON + MINUTE }),
      540n + 59_000n,
      'the rest of an hour by the minute',
    )
    await ledger.database.transaction(session => session.run('UPDATE usage_hour SET calls = 0'))
    t.equal(await calls({ from: NOON - 12 * HOUR, to: NOON + 12 * HOUR }), 600n, 'a whole day')
    t.equal(await calls({ from: NOON - 12 * HOUR, to: NOON + 12 * HOUR, grain: 'hour' }), 0n)
  })

  await t.test(
    'two that roll up at once, while reports come in, count each minute once',
    async t => {
      const { open } = await create(t)
      const [first, second] = [await open(), await open()]
      const random = new SeededRandom(7)
      const applied: UsageRecord[] = []
      const roll = async (tables: UsageTables): Promise<void> => {
        for (let steps = 0; steps < 60; steps += 1)
          await rollUpStep(tables, FIRST + SPAN_MINUTES * MINUTE, 2)
      }
      const applying = async (ledger: Ledger, producer: string): Promise<void> => {
        for (let sequence = 1; sequence <= 20; sequence += 1) {
          const records = Array.from({ length: 5 }, () => someRecord(random))
          t.match(await ledger.apply(report(sequence, records, producer)), { kind: 'applied' })
          applied.push(...records)
        }
      }
      await Promise.all([
        roll(first.tables),
        roll(second.tables),
        applying(first, 'p1'),
        applying(second, 'p2'),
        applying(second, 'p3'),
      ])
      await rollUpAll(second.tables, FIRST + SPAN_MINUTES * MINUTE)
      await compare(t, first, applied, random)
      await balanced(t, first, applied)
      await first.close()
      await second.close()
    },
  )

  await t.test('kill -9 of one that rolls up neither loses nor doubles a minute', async t => {
    const { url, open } = await create(t)
    const ledger = await open()
    const random = new SeededRandom(11)
    const records = Array.from({ length: 400 }, () => someRecord(random))
    await ledger.apply(report(1, records))
    for (const steps of [1, 10, 40]) {
      t.equal(await rollUntilKilled(url, steps), 'SIGKILL')
      await compare(t, ledger, records, random)
    }
    await rollUpAll(ledger.tables, FIRST + SPAN_MINUTES * MINUTE)
    await compare(t, ledger, records, random)
    await balanced(t, ledger, records)
    await ledger.close()
  })

  await t.test(
    'past retention minutes become hours, hours days, and days are gone but for the books',
    async t => {
      const ledger = await openOne(t)
      const random = new SeededRandom(13)
      const records = Array.from({ length: 300 }, () => someRecord(random))
      await ledger.apply(report(1, records))
      const midnight = FIRST - (FIRST % DAY)
      const all = { from: midnight, to: midnight + 4 * DAY, dimensions: [], limit: 10 } as const
      const now = FIRST + 100 * DAY
      const expireAll = async (retention: Retention): Promise<void> => {
        while ((await expireStep(ledger.tables, retention, now, 7)) > 0);
      }
      await expireAll({ minutes: DAY, hours: DAY, days: DAY })
      t.same(
        await usageOf(ledger, { ...all, grain: 'minute', limit: 10_000 }),
        expectedGroups(records, { ...all, grain: 'minute' }),
        'what is not rolled up stays',
      )

      await rollUpAll(ledger.tables, FIRST + 10 * DAY)
      await expireAll({ minutes: DAY, hours: 0, days: 0 })
      t.match(await ledger.usage({ ...all, grain: 'minute' }), {
        kind: 'expired',
        unit: 'minute',
        from: FIRST + 10 * DAY - (FIRST % HOUR),
      })
      t.match(await ledger.usage({ ...all, from: FIRST + MINUTE }), {
        kind: 'expired',
        unit: 'minute',
      })
      t.equal(await rowsOf(ledger, 'usage'), 0n)
      t.same(
        await usageOf(ledger, { ...all, grain: 'hour', limit: 1_000 }),
        expectedGroups(records, { ...all, grain: 'hour' }),
      )

      const late = someRecord(random)
      await ledger.apply(report(2, [late]))
      records.push(late)
      t.same(
        await usageOf(ledger, { ...all, grain: 'hour', limit: 1_000 }),
        expectedGroups(records, { ...all, grain: 'hour' }),
        'with what comes later still',
      )

      await expireAll({ minutes: DAY, hours: DAY, days: 0 })
      t.match(await ledger.usage({ ...all, grain: 'hour' }), { kind: 'expired', unit: 'hour' })
      t.equal(await rowsOf(ledger, 'usage_hour'), 0n)
      t.same(
        await usageOf(ledger, { ...all, grain: 'day' }),
        expectedGroups(records, { ...all, grain: 'day' }),
      )
      t.same(
        await usageOf(ledger, { ...all, dimensions: ['tenant'] }),
        expectedGroups(records, { ...all, dimensions: ['tenant'] }),
      )

      await expireAll({ minutes: DAY, hours: DAY, days: 99 * DAY })
      t.match(await ledger.usage(all), { kind: 'expired', unit: 'day' })
      const kept = Math.floor((now - 99 * DAY) / DAY) * DAY
      t.same(
        await usageOf(ledger, { ...all, from: kept }),
        expectedGroups(records, { ...all, from: kept }),
      )
      await balanced(t, ledger, records)
      await expireAll({ minutes: DAY, hours: DAY, days: DAY })
      t.equal(await rowsOf(ledger, 'usage_day'), 0n)
      await balanced(t, ledger, records)
    },
  )
}

function someRecord(random: SeededRandom): UsageRecord {
  return record({
    window: FIRST + random.below(SPAN_MINUTES) * MINUTE - (FIRST % MINUTE),
    tenant: random.pick(TENANTS),
    operation: random.pick(['read-order', 'create-order']),
    code: random.pick(['2xx', '5xx', 'grpc-0', 'grpc-13']),
    calls: random.below(100),
    egress: random.below(2 ** 45),
    requestMessages: random.below(2 ** 45),
    responseMessages: random.below(3),
  })
}

async function rollUpAll(tables: UsageTables, until: number): Promise<void> {
  while ((await rollUpStep(tables, until)) !== undefined);
}

async function usageOf(ledger: Ledger, query: LedgerQuery): Promise<unknown> {
  const usage = await ledger.usage(query)
  return usage.kind === 'usage' ? usage.groups : usage
}

async function rowsOf({ database }: OpenLedger, table: string): Promise<unknown> {
  const rows = await database.snapshot(session => session.all(`SELECT count(*) AS n FROM ${table}`))
  return rows[0]?.['n']
}

/** Random queries, in one piece and page by page. */
async function compare(
  t: Test,
  ledger: Ledger,
  records: readonly UsageRecord[],
  random: SeededRandom,
): Promise<void> {
  const grains: readonly (UsageGrain | undefined)[] = [undefined, 'minute', 'hour', 'day']
  for (let turn = 0; turn < 4; turn += 1) {
    const grain = random.pick(grains)
    const minute = random.below(SPAN_MINUTES)
    const from = random.pick([FIRST - DAY, FIRST + minute * MINUTE, FIRST - (FIRST % DAY) + DAY])
    const to = from + random.pick([MINUTE, HOUR, DAY, 90 * MINUTE, 4 * DAY])
    const query = {
      ...(random.below(2) === 0 ? {} : { tenant: random.pick(TENANTS) }),
      ...(grain === undefined ? {} : { grain }),
      from,
      to,
      dimensions: USAGE_DIMENSIONS.filter(() => random.below(4) === 0),
    }
    const expected = expectedGroups(records, query)
    const name = JSON.stringify(query)
    t.same(await usageOf(ledger, { ...query, limit: 100_000 }), expected, name)
    t.same(await pagesOf(ledger, query, random.between(1, 50)), expected, `in pages: ${name}`)
  }
}

async function pagesOf(
  ledger: Ledger,
  query: Omit<LedgerQuery, 'limit'>,
  limit: number,
): Promise<unknown> {
  const groups = []
  let after: LedgerQuery['after']
  for (;;) {
    const page = await ledger.usage({ ...query, limit, paged: true, ...(after && { after }) })
    if (page.kind !== 'usage') return page
    groups.push(...page.groups)
    const last = page.groups.at(-1)
    if (!page.more || last === undefined) return groups
    const { window, dimensions } = last
    after = { ...(window === undefined ? {} : { window }), dimensions: Object.values(dimensions) }
  }
}

async function balanced(t: Test, ledger: Ledger, records: readonly UsageRecord[]): Promise<void> {
  const books: LedgerBooks = await ledger.books({ tenants: 100, after: '', limit: 100 })
  if (books.kind !== 'books') throw new Error(JSON.stringify(books))
  t.same(books.reported, sumOf(records), 'reported')
  t.same(books.ledger, sumOf(records), 'in the ledger')
  const alone = await ledger.books({ tenants: 0, after: '', limit: 100 })
  t.same(alone, { ...books, tenants: [] }, 'also without the tenants')
}

/** The signal that has ended a child which rolled up by single rows, after so many steps. */
async function rollUntilKilled(url: string, steps: number): Promise<unknown> {
  const child = spawn(process.execPath, [CHILD, url, String(FIRST + SPAN_MINUTES * MINUTE)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let lines = 0
  child.stdout.on('data', (chunk: Buffer) => {
    lines += chunk.toString().split('\n').length - 1
    if (lines >= steps) child.kill('SIGKILL')
  })
  const [, signal] = (await once(child, 'exit')) as [unknown, unknown]
  return signal
}
