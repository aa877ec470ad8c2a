/** What the journal adds to a turn of the event loop; a turn has some eight calls under load. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { JournalBench } from '../../test/support/journal-bench.ts'
import type { MicroBench, Run } from './measure.ts'

const CALLS_A_TURN = 8

export const benches: readonly MicroBench[] = [
  { name: 'journal-turn-1-tenant', prepare: () => turns(1) },
  { name: 'journal-turn-8-tenants', prepare: () => turns(CALLS_A_TURN) },
  { name: 'journal-turn-empty', prepare: emptyTurns },
]

/** Eight calls of `tenants` and a commit, with a real file. */
function turns(tenants: number): Run {
  const folder = temporaryFolder()
  const ids = Array.from({ length: tenants }, (_, number) => `tenant-${number}`)
  const bench = new JournalBench({ folder, tenants: ids })
  const rows = Array.from({ length: CALLS_A_TURN }, (_, call) => bench.row(ids[call % tenants]))
  return times => {
    for (let time = 0; time < times; time += 1) {
      for (const row of rows) {
        bench.meter.ingress(row, 200)
        bench.meter.egress(row, 300)
        bench.meter.call(row, 1.5)
      }
      bench.journal.commit()
    }
    if (bench.meter.unwritten.size > 0) throw new Error('the journal cannot be written')
  }
}

/** What each write to a socket asks, with nothing counted. */
function emptyTurns(): Run {
  const bench = new JournalBench({ folder: temporaryFolder() })
  return times => {
    for (let time = 0; time < times; time += 1) bench.journal.commit()
    if (bench.journal.sequence > 0) throw new Error('something was written')
  }
}

/** A run writes up to some 100 MB to it. */
function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'amt-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}
