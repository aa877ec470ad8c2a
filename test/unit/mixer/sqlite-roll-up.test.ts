import { join } from 'node:path'
import { t } from 'tap'
import { openLedger } from '../../support/ledger/open-ledger.ts'
import { testRollUps } from '../../support/ledger/roll-up-contract.ts'

t.setTimeout(120_000)

await t.test('a SQLite ledger rolls up and forgets', async t => {
  await testRollUps(t, async t => {
    const url = `sqlite:${join(t.testdir({}), 'ledger.db')}`
    return { url, open: () => openLedger(url) }
  })
})
