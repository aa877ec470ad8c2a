import { randomUUID } from 'node:crypto'
import type { WorkerConfig } from '../ipc.ts'
import { type JournalOptions, UsageJournal } from '../journal/usage-journal.ts'
import type { UsageMeter } from '../metering/usage-meter.ts'

type JournalDeps = Pick<JournalOptions, 'clock' | 'logger' | 'disk' | 'endIfOrphaned'>

/** The journal of a worker, where the configuration wants it. */
export function createJournal(
  { clock, logger, disk, endIfOrphaned }: JournalDeps,
  mixer: WorkerConfig['mixer'],
  meter: UsageMeter,
): UsageJournal {
  const options = {
    folder: mixer.journal,
    producer: randomUUID(),
    segmentBytes: mixer.segment,
    fsync: mixer.fsync,
    refuse: mixer.journalFailure === 'refuse',
    clock,
    logger,
    disk,
    endIfOrphaned,
  }
  return new UsageJournal(options, meter.unwritten)
}
