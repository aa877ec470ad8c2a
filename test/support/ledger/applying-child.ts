/** Applies reports to the ledger named on its command line until it is killed, and says after each what is durable. */
import { writeSync } from 'node:fs'
import { openSqliteLedger } from '../../../src/mixer/ledger/sqlite-ledger.ts'
import { NOON, record, report } from './reports.ts'

const opened = openSqliteLedger(process.argv[2] ?? '', { now: () => NOON, monotonic: () => 0 })
if (!('ledger' in opened)) throw new Error(opened.detail)
for (let sequence = Number(process.argv[3]); ; sequence += 1) {
  const result = await opened.ledger.apply(
    report(sequence, [record(), record({ tenant: 'globex' })]),
  )
  if (result.kind !== 'applied') throw new Error(JSON.stringify(result))
  writeSync(1, `${result.durable}\n`)
}
