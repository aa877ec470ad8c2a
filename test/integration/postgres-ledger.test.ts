import { t } from 'tap'
import { testDatabase } from '../support/ledger/database-contract.ts'
import { testLedger } from '../support/ledger/ledger-contract.ts'
import { openLedger, refusalOf } from '../support/ledger/open-ledger.ts'
import { testRollUps } from '../support/ledger/roll-up-contract.ts'
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
