import { join } from 'node:path'
import { type Test, t } from 'tap'
import { testCharges } from '../../support/ledger/charge-contract.ts'
import { testQuotas } from '../../support/ledger/quota-contract.ts'

const url = async (t: Test): Promise<string> => `sqlite:${join(t.testdir({}), 'ledger.db')}`

await t.test('quotas on SQLite', async t => testQuotas(t, url))
await t.test('charges on SQLite', async t => testCharges(t, url))
