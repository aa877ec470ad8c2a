import { join } from 'node:path'
import { test } from 'tap'
import { openDatabase } from '../../../../src/mixer/ledger/open-database.ts'
import { testRegistry } from '../../../support/registry/registry-contract.ts'

await test('the registry on SQLite', async t =>
  testRegistry(t, async t => {
    const path = join(t.testdir({}), 'ledger.db')
    return {
      open: async () => {
        const opened = await openDatabase(`sqlite:${path}`)
        if ('refusal' in opened) throw new Error(opened.refusal)
        return opened.database
      },
    }
  }))
