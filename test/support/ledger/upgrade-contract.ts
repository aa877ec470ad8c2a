/** What becomes of a ledger of the former version where this one opens it: everything is there, and counts on. */
import type { Test } from 'tap'
import { USAGE_GRAINS } from '../../../src/contracts/usage-query.ts'
import { expireStep } from '../../../src/mixer/ledger/retention.ts'
import { rollUpStep } from '../../../src/mixer/ledger/roll-up.ts'
import type { OpenLedger } from './open-ledger.ts'
import { MINUTE, NOON, record, report } from './reports.ts'

const { hour: HOUR, day: DAY } = USAGE_GRAINS
/** Migrations of the version before messages were counted. */
export const FORMER_VERSION = 6
const OLD = NOON - 2 * HOUR
const KEY = `'acme', 'public', 'l7', 'read-order', '2xx'`
const COLUMNS =
  'window_start, tenant, listener, routability, operation, code, calls, ingress, egress, connections, connection_ms, call_ms'

/** What it held: a minute that was rolled up and one that was not, and a day that was past retention before. */
export const FORMER_USAGE: readonly string[] = [
  `INSERT INTO producer (producer, sequence, applied_at, proxy, calls_high, calls_low, egress_high, egress_low)
   VALUES ('p1', 3, ${NOON}, 'proxy-1', 0, 12, ${2n ** 30n}, 5)`,
  `INSERT INTO usage (${COLUMNS}) VALUES (${OLD}, ${KEY}, 3, 0, ${2n ** 61n}, 0, 0, 0)`,
  `INSERT INTO usage_hour (${COLUMNS}) VALUES (${OLD}, ${KEY}, 3, 0, ${2n ** 61n}, 0, 0, 0)`,
  `INSERT INTO usage_day (${COLUMNS}) VALUES (${NOON - (NOON % DAY)}, ${KEY}, 3, 0, ${2n ** 61n}, 0, 0, 0)`,
  `INSERT INTO usage (${COLUMNS}) VALUES (${NOON}, ${KEY}, 4, 0, ${2n ** 61n}, 0, 0, 0)`,
  `UPDATE ledger_mark SET at = ${NOON - MINUTE} WHERE name = 'rolled-up'`,
  `UPDATE ledger_sums SET calls_low = 5, egress_low = 5 WHERE name = 'expired'`,
]

const NOTHING = { ingress: 0n, connections: 0n, connectionMs: 0n, callMs: 0n }
const BEFORE = {
  ...NOTHING,
  calls: 12n,
  egress: 2n ** 62n + 5n,
  requestMessages: 0n,
  responseMessages: 0n,
}

/** `ledger` is one that held `FORMER_USAGE`, as this version has opened it; it is closed. */
export async function testUpgraded(t: Test, ledger: OpenLedger): Promise<void> {
  const query = { from: OLD - (OLD % HOUR), to: NOON + DAY / 2, dimensions: [], limit: 10 } as const
  const books = { tenants: 0, producers: ['p1'] } as const
  t.match(await ledger.books(books), {
    producers: [{ producer: 'p1', proxy: 'proxy-1', durable: 3, sums: BEFORE }],
    reported: BEFORE,
    ledger: BEFORE,
  })
  t.match(await ledger.usage(query), {
    groups: [{ sums: { ...BEFORE, calls: 7n, egress: 2n ** 62n } }],
  })

  t.same(await ledger.apply(report(3)), { kind: 'repeated', durable: 3 })
  const grpc = { code: 'grpc-0', operation: 'place' } as const
  // Into a row that was there, into one of its own, and into one that was rolled up long ago.
  const records = [record(), record(grpc), record({ ...grpc, window: OLD })]
  t.same(await ledger.apply(report(4, records)), { kind: 'applied', durable: 4 })
  const after = { calls: 15n, requestMessages: 6n, responseMessages: 9n }
  t.match(await ledger.books(books), { reported: after, ledger: after })
  const byCode = [
    { dimensions: { code: '2xx' }, sums: { calls: 8n, requestMessages: 2n, responseMessages: 3n } },
    { dimensions: { code: 'grpc-0' }, sums: { calls: 2n, requestMessages: 4n } },
  ]
  for (const grain of ['minute', 'hour', 'day'] as const) {
    while ((await rollUpStep(ledger.tables, NOON + HOUR)) !== undefined);
    const usage = await ledger.usage({ ...query, from: 0, grain, dimensions: ['code'] })
    const groups = usage.kind === 'usage' ? usage.groups : []
    const messages = groups.reduce((sum, { sums }) => sum + sums.responseMessages, 0n)
    t.equal(messages, 9n, `by ${grain}`)
  }
  t.match(await ledger.usage({ ...query, dimensions: ['code'] }), { groups: byCode })

  const retention = { minutes: DAY, hours: DAY, days: DAY }
  while ((await expireStep(ledger.tables, retention, NOON + 90 * DAY)) > 0);
  t.match(await ledger.books(books), { reported: after, ledger: after }, 'past retention')
  await ledger.close()
}
