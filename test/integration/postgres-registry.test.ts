import { t } from 'tap'
import { openLedger } from '../support/ledger/open-ledger.ts'
import { startPostgres, WITHOUT_POSTGRES } from '../support/postgres.ts'
import { testRegistry } from '../support/registry/registry-contract.ts'

t.setTimeout(120_000)

await t.test('the registry on PostgreSQL', { skip: WITHOUT_POSTGRES }, async t => {
  const server = await startPostgres(t)
  await testRegistry(t, async () => {
    const url = await server.createDatabase()
    return { open: async () => (await openLedger(url)).database }
  })
})
