import { Client } from 'pg'
import { t } from 'tap'
import { MIGRATIONS } from '../../src/mixer/ledger/migrations/list.ts'
import { forPostgres } from '../../src/mixer/ledger/migrations/migration.ts'
import { testDatabase } from '../support/ledger/database-contract.ts'
import { testLedger } from '../support/ledger/ledger-contract.ts'
import { openLedger, refusalOf } from '../support/ledger/open-ledger.ts'
import { report } from '../support/ledger/reports.ts'
import { testRollUps } from '../support/ledger/roll-up-contract.ts'
import { FORMER_USAGE, FORMER_VERSION, testUpgraded } from '../support/ledger/upgrade-contract.ts'
import { startPostgres, WITHOUT_POSTGRES } from '../support/postgres.ts'

t.setTimeout(300_000)
const skip = WITHOUT_POSTGRES

await t.test('a PostgreSQL ledger does what every ledger must do', { skip }, async t => {
  const server = await startPostgres(t)
  await testLedger(t, async () => {
    const url = await server.createDatabase()
    return { open: () => openLedger(url) }
  })
})

await t.test('a PostgreSQL ledger rolls up and forgets', { skip }, async t => {
  const server = await startPostgres(t)
  await testRollUps(t, async () => {
    const url = await server.createDatabase()
    return { url, open: () => openLedger(url) }
  })
})

await t.test('PostgreSQL does what every database must do', { skip }, async t => {
  const server = await startPostgres(t)
  await testDatabase(t, async () => {
    const url = await server.createDatabase()
    return { open: async () => (await openLedger(url)).database }
  })
})

await t.test('many mixers may start at once on an empty database', { skip }, async t => {
  const server = await startPostgres(t)
  const url = await server.createDatabase()
  const refusals = await Promise.all(Array.from({ length: 6 }, () => refusalOf(url)))
  t.same(new Set(refusals), new Set([undefined]))
})

await t.test(
  'a ledger of the version before messages were counted is upgraded in place, by many mixers at once',
  { skip },
  async t => {
    const server = await startPostgres(t)
    const url = await server.createDatabase()
    const versions = Array.from({ length: FORMER_VERSION }, (_, index) => `(${index + 1})`)
    const former = [
      ...MIGRATIONS.slice(0, FORMER_VERSION).flat().map(forPostgres),
      'CREATE TABLE amt_ledger (version BIGINT NOT NULL PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())',
      `INSERT INTO amt_ledger (version) VALUES ${versions.join(', ')}`,
      ...FORMER_USAGE,
    ]
    await server.query('ledger_1', former.join(';\n'))
    const refusals = await Promise.all(Array.from({ length: 4 }, () => refusalOf(url)))
    t.same(new Set(refusals), new Set([undefined]))
    await testUpgraded(t, await openLedger(url))
  },
)

await t.test(
  'a database that is no current ledger is refused and left as it is',
  { skip },
  async t => {
    const server = await startPostgres(t)
    await server.query('postgres', 'CREATE DATABASE foreign_one; ')
    await server.query('foreign_one', 'CREATE TABLE secrets (id BIGINT)')
    t.match(
      await refusalOf(server.url('foreign_one')),
      /^postgres:\/\/\/foreign_one: its schema public belongs to another program/,
    )
    t.same(await server.query('foreign_one', `SELECT to_regclass('amt_ledger') AS it`), [
      { it: null },
    ])

    const newer = await server.createDatabase()
    t.equal(await refusalOf(newer), undefined)
    await server.query('ledger_1', 'INSERT INTO amt_ledger (version) VALUES (999)')
    t.match(await refusalOf(newer), /it was written by a newer version of amt/)

    await server.query(
      'postgres',
      `CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0`,
    )
    t.match(await refusalOf(server.url('latin')), /its encoding is LATIN1, it must be UTF8/)
    t.match(await refusalOf(server.url('missing')), /database "missing" does not exist/)
    await server.stop()
    t.match(await refusalOf(newer), /ENOENT|ECONNREFUSED/)
    t.match(
      await refusalOf('postgres://amt:s3cret@127.0.0.1:1/x'),
      /^postgres:\/\/127\.0\.0\.1:1\/x: (?!.*s3cret)/,
    )
  },
)

await t.test(
  'the ledger lives in the schema that the URL names, beside other programs',
  { skip },
  async t => {
    const server = await startPostgres(t)
    const url = await server.createDatabase()
    await server.query('ledger_1', 'CREATE TABLE secrets (id BIGINT); CREATE SCHEMA books')
    const inSchema = (name: string): string => `${url}&options=-c%20search_path%3D${name}`
    t.match(await refusalOf(url), /its schema public belongs to another program/)
    t.match(await refusalOf(inSchema('missing')), /no schema of its search_path exists/)
    const ledger = await openLedger(inSchema('books'))
    t.match(await ledger.apply(report(1)), { kind: 'applied' })
    await ledger.close()
    t.same(await server.query('ledger_1', 'SELECT calls FROM books.usage'), [{ calls: '1' }])
  },
)

await t.test(
  'what the database says of durability does not hold for the mixer',
  { skip },
  async t => {
    const server = await startPostgres(t)
    const url = await server.createDatabase()
    await server.query('ledger_1', 'ALTER DATABASE ledger_1 SET synchronous_commit = off')
    const { database } = await openLedger(url)
    const asked = `SELECT current_setting('synchronous_commit') AS it`
    t.match(await database.snapshot(session => session.all(asked)), [{ it: 'on' }])
    await database.close()
  },
)

await t.test(
  'a lock that somebody keeps is an answer in time, and the report counts afterwards',
  { skip },
  async t => {
    const server = await startPostgres(t)
    const url = await server.createDatabase()
    const ledger = await openLedger(url)
    await ledger.apply(report(1))
    const other = new Client(url)
    await other.connect()
    await other.query('BEGIN; LOCK TABLE usage')
    t.match(await ledger.apply(report(2)), { kind: 'unavailable', detail: /statement timeout/ })
    await other.end()
    t.same(await ledger.apply(report(2)), { kind: 'applied', durable: 2 })
    await ledger.close()
  },
)
