import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'tap'
import { MIGRATIONS } from '../../../src/mixer/ledger/migrations/list.ts'
import { forSqlite } from '../../../src/mixer/ledger/migrations/migration.ts'
import { testDatabase } from '../../support/ledger/database-contract.ts'
import { testKilled } from '../../support/ledger/kill-contract.ts'
import { testLedger } from '../../support/ledger/ledger-contract.ts'
import { type OpenLedger, openLedger, refusalOf } from '../../support/ledger/open-ledger.ts'
import { NOON, report } from '../../support/ledger/reports.ts'
import {
  FORMER_USAGE,
  FORMER_VERSION,
  testUpgraded,
} from '../../support/ledger/upgrade-contract.ts'

const open = async (path: string): Promise<OpenLedger> => openLedger(`sqlite:${path}`)
const refusal = async (path: string): Promise<string | undefined> => refusalOf(`sqlite:${path}`)

await test('a SQLite ledger does what every ledger must do', async t => {
  await testLedger(t, async t => {
    const path = join(t.testdir({}), 'data', 'ledger.db')
    return { open: () => open(path) }
  })
})

await test('SQLite does what every database must do', async t => {
  await testDatabase(t, async t => {
    const path = join(t.testdir({}), 'ledger.db')
    return { open: async () => (await open(path)).database }
  })
})

await test('a ledger and its folder are made for this user alone', async t => {
  const path = join(t.testdir({}), 'new', 'ledger.db')
  await (await open(path)).close()
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(statSync(join(path, '..')).mode & 0o777, 0o700)
})

await test('a file that is no current ledger is refused and left as it is', async t => {
  const directory = t.testdir({
    text: 'this is no database, it is a text that is long enough to be looked at',
  })
  t.match(await refusal(join(directory, 'text')), /text: file is not a database/)

  const foreign = join(directory, 'foreign.db')
  const other = new DatabaseSync(foreign)
  other.exec('CREATE TABLE secrets (id INTEGER) STRICT')
  other.close()
  const bytes = readFileSync(foreign)
  t.match(await refusal(foreign), /foreign\.db: it is a database of another program/)
  t.ok(readFileSync(foreign).equals(bytes))

  const newer = join(directory, 'newer.db')
  await (await open(newer)).close()
  const future = new DatabaseSync(newer)
  future.exec('PRAGMA user_version = 999')
  future.close()
  t.match(await refusal(newer), /newer\.db: it was written by a newer version of amt/)

  mkdirSync(join(directory, 'folder'))
  t.match(await refusal(join(directory, 'folder')), /folder: EISDIR/)
})

/** As the first version wrote it. */
const VERSION_1 = `
  CREATE TABLE producer (
    producer   TEXT    PRIMARY KEY,
    sequence   INTEGER NOT NULL,
    applied_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE usage (
    window_start  INTEGER NOT NULL,
    tenant        TEXT    NOT NULL,
    listener      TEXT    NOT NULL,
    routability   TEXT    NOT NULL,
    operation     TEXT    NOT NULL,
    code          TEXT    NOT NULL,
    calls         INTEGER NOT NULL,
    ingress       INTEGER NOT NULL,
    egress        INTEGER NOT NULL,
    connections   INTEGER NOT NULL,
    connection_ms INTEGER NOT NULL,
    call_ms       INTEGER NOT NULL,
    PRIMARY KEY (window_start, tenant, listener, routability, operation, code)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX usage_of_tenant ON usage (tenant, window_start);
  INSERT INTO producer VALUES ('p1', 3, ${NOON});
  INSERT INTO usage VALUES (${NOON}, 'acme', 'public', 'l7', 'read-order', '2xx', 3, 300, ${2n ** 62n}, 3, 90, 60);
  INSERT INTO usage VALUES (${NOON}, 'globex', 'public', 'l7', 'read-order', '2xx', 1, 100, ${2n ** 62n}, 1, 30, 20);
  PRAGMA application_id = 1095586892;
  PRAGMA user_version = 1;`

await test('a ledger of the first version goes on with its usage and its sequences, and its books balance', async t => {
  const path = join(t.testdir({}), 'ledger.db')
  const old = new DatabaseSync(path)
  old.exec(VERSION_1)
  old.close()
  const ledger = await open(path)
  t.same(await ledger.apply(report(3)), { kind: 'repeated', durable: 3 })
  t.same(await ledger.apply(report(4)), { kind: 'applied', durable: 4 })
  const sums = {
    calls: 5n,
    ingress: 500n,
    egress: 2n ** 63n + 2_000n,
    connections: 5n,
    connectionMs: 150n,
    callMs: 100n,
    requestMessages: 2n,
    responseMessages: 3n,
  }
  const usage = await ledger.usage({ from: 0, to: NOON * 2, dimensions: [], limit: 1 })
  t.same(usage, { kind: 'usage', groups: [{ dimensions: {}, sums }], more: false })
  t.match(await ledger.books({ tenants: 0, producers: ['p1'] }), {
    producers: [{ producer: 'p1', durable: 4, sums: { calls: 1n } }],
    reported: sums,
    ledger: sums,
  })
  await ledger.close()
})

await test('a ledger of the version before messages were counted is upgraded in place', async t => {
  const path = join(t.testdir({}), 'ledger.db')
  const old = new DatabaseSync(path)
  for (const statement of MIGRATIONS.slice(0, FORMER_VERSION).flat()) old.exec(forSqlite(statement))
  for (const statement of FORMER_USAGE) old.exec(statement)
  old.exec(`PRAGMA application_id = 1095586892; PRAGMA user_version = ${FORMER_VERSION}`)
  old.close()
  await (await open(path)).close()
  await testUpgraded(t, await open(path))
})

await test('a ledger that cannot be written says so and is right afterwards', async t => {
  const path = join(t.testdir({}), 'ledger.db')
  const ledger = await open(path)
  await ledger.apply(report(1))
  const vandal = new DatabaseSync(path)
  vandal.exec('ALTER TABLE usage RENAME TO away')
  t.match(await ledger.apply(report(2)), { kind: 'unavailable' })
  t.match(await ledger.usage({ from: 0, to: NOON * 2, dimensions: [], limit: 1 }), {
    kind: 'unavailable',
  })
  vandal.exec('ALTER TABLE away RENAME TO usage')
  vandal.close()
  t.same(await ledger.apply(report(2)), { kind: 'applied', durable: 2 })
  await ledger.close()
})

await test('a corrupted ledger is an answer, not a crash', async t => {
  const path = join(t.testdir({}), 'ledger.db')
  const before = await open(path)
  await before.apply(report(1))
  await before.close()
  const bytes = readFileSync(path)
  writeFileSync(path, bytes.fill(0xa5, 4_096))
  const refused = await refusal(path)
  if (refused !== undefined) return t.match(refused, /malformed/)
  const ledger = await open(path)
  t.match(await ledger.apply(report(2)), { kind: 'unavailable' })
  return ledger.close()
})

await test('kill -9 while reports are applied loses none that was acknowledged and doubles none', async t => {
  await testKilled(t, `sqlite:${join(t.testdir({}), 'ledger.db')}`)
})
