import { t } from 'tap'
import { testCharges } from '../support/ledger/charge-contract.ts'
import { testQuotas } from '../support/ledger/quota-contract.ts'
import { startPostgres, WITHOUT_POSTGRES } from '../support/postgres.ts'

t.setTimeout(120_000)

await t.test('quotas and charges on PostgreSQL', { skip: WITHOUT_POSTGRES }, async t => {
  const server = await startPostgres(t)
  await testQuotas(t, () => server.createDatabase())
  await testCharges(t, () => server.createDatabase())
})
