/** Applies reports to the ledger named on its command line until it is killed, and says after each what is durable. */
import { writeSync } from 'node:fs'
import { openLedger } from './open-ledger.ts'
import { record, report } from './reports.ts'

const ledger = await openLedger(process.argv[2] ?? '')
for (let sequence = Number(process.argv[3]); ; sequence += 1) {
  const result = await ledger.apply(report(sequence, [record(), record({ tenant: 'globex' })]))
  if (result.kind !== 'applied') throw new Error(JSON.stringify(result))
  writeSync(1, `${result.durable}\n`)
}
