import { t } from 'tap'
import { testExactness } from '../support/exports/exactness.ts'
import { startPostgres, WITHOUT_POSTGRES } from '../support/postgres.ts'

t.setTimeout(300_000)

/** Another one each time; `AMT_SEED` tries one again. */
const seed = Number(process.env.AMT_SEED ?? Math.floor(Math.random() * 2 ** 31))

await t.test('whatever happens, the sink has what the ledger has (SQLite)', async t => {
  await testExactness(t, { seeds: [1, seed], steps: 120 })
})

await t.test(
  'whatever happens, the sink has what the ledger has (PostgreSQL)',
  { skip: WITHOUT_POSTGRES },
  async t => {
    const server = await startPostgres(t)
    await testExactness(t, { seeds: [seed], steps: 120, url: () => server.createDatabase() })
  },
)
