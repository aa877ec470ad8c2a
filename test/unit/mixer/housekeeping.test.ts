import { join } from 'node:path'
import { test } from 'tap'
import { type HousekeepingDeps, startHousekeeping } from '../../../src/mixer/ledger/housekeeping.ts'
import type { UsageTables } from '../../../src/mixer/ledger/usage-tables.ts'
import { createLogger } from '../../../src/runtime/logger.ts'
import { openLedger } from '../../support/ledger/open-ledger.ts'
import { MINUTE, NOON, record, report } from '../../support/ledger/reports.ts'

const DAY = 86_400_000

function deps(
  tables: UsageTables,
  more: Partial<HousekeepingDeps>,
): HousekeepingDeps & { readonly log: string[] } {
  const log: string[] = []
  return {
    tables,
    retention: { minutes: 35 * DAY, hours: 400 * DAY, days: 0 },
    clock: { now: () => NOON, monotonic: () => 0 },
    logger: createLogger({ level: 'debug', name: 'mixer' }, { write: line => log.push(line) }),
    onRolledUp: () => {},
    onExpired: () => {},
    every: 1,
    ...more,
    log,
  }
}

await test('what is old enough is rolled up, and what is past retention goes', async t => {
  const ledger = await openLedger(`sqlite:${join(t.testdir({}), 'ledger.db')}`)
  const old = record({ window: NOON - 50 * DAY })
  await ledger.apply(report(1, [old, record({ window: NOON - 10 * MINUTE }), record()]))
  const lags: number[] = []
  let started = 0
  const house = await new Promise<ReturnType<typeof startHousekeeping>>(resolve => {
    const running = startHousekeeping(
      deps(ledger.tables, {
        // The first reading is that of the start; five minutes later it looks at retention too.
        clock: { now: () => NOON, monotonic: () => (started++ === 0 ? 0 : 6 * MINUTE) },
        onRolledUp: seconds => lags.push(seconds),
        onExpired: rows => {
          t.equal(rows, 1)
          resolve(running)
        },
      }),
    )
  })
  await house.close()
  t.equal(lags.at(-1), 300, 'five minutes behind the clock')
  const query = { from: NOON - 60 * DAY, to: NOON + DAY, dimensions: [], limit: 10 }
  t.match(await ledger.usage({ ...query, grain: 'minute' }), { kind: 'expired', unit: 'minute' })
  t.match(await ledger.usage({ ...query, grain: 'hour' }), {
    groups: [{ sums: { calls: 1n } }, { sums: { calls: 1n } }, { sums: { calls: 1n } }],
  })
  await ledger.close()
})

await test('a ledger that fails is logged, and tried again', async t => {
  const ledger = await openLedger(`sqlite:${join(t.testdir({}), 'ledger.db')}`)
  let failing = true
  const flaky: UsageTables = {
    ...ledger.tables,
    exclusive: async work => {
      if (!failing) return ledger.tables.exclusive(work)
      failing = false
      throw new Error('disk full')
    },
  }
  let given: ReturnType<typeof deps> | undefined
  await new Promise<void>(resolve => {
    given = deps(flaky, { onRolledUp: () => resolve() })
    const house = startHousekeeping(given)
    t.teardown(async () => {
      await house.close()
      await ledger.close()
    })
  })
  t.match(given?.log.join(''), /disk full.*the ledger could not be rolled up/)
})
