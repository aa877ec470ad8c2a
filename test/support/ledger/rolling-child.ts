/** Rolls up the ledger named on its command line by single rows, until it is killed, and says so after each step. */
import { writeSync } from 'node:fs'
import { rollUpStep } from '../../../src/mixer/ledger/roll-up.ts'
import { openLedger } from './open-ledger.ts'

const { tables } = await openLedger(process.argv[2] ?? '')
for (;;) {
  const mark = await rollUpStep(tables, Number(process.argv[3]), 1)
  if (mark === undefined) throw new Error('nothing is left to roll up')
  writeSync(1, `${mark.at}\n`)
}
