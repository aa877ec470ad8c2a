/**
 * A process that counts calls into a journal for ever: `journal-loop.ts FOLDER COUNT_FILE`. Behind each commit it notes the
 * number of calls in the file, as the answers of a worker would tell it to clients.
 */
import { openSync, writeSync } from 'node:fs'
import { JournalBench } from './journal-bench.ts'

const [folder = '', countFile = ''] = process.argv.slice(2)
const count = openSync(countFile, 'w')
const told = Buffer.alloc(8)
const tenants = Array.from({ length: 20 }, (_, number) => `tenant-${number}`)
const bench = new JournalBench({ folder, tenants, segmentBytes: 10_000, fsync: 1 })
let calls = 0

function turn(): void {
  for (let call = 0; call < 8; call++) {
    bench.meter.call(bench.row(tenants[calls % tenants.length]), 1)
    calls += 1
  }
  bench.journal.commit()
  told.writeDoubleLE(calls)
  writeSync(count, told, 0, 8, 0)
  setImmediate(turn)
}

turn()
