/** How usage is kept on disk until the ledger has it. */
import { z } from 'zod'
import { path } from './forms.ts'
import { duration, offOr, size } from './quantities.ts'

export const journalFields = {
  journal: path()
    .default('data/journal')
    .describe('Directory for usage that is not yet in the ledger.'),
  segment: size()
    .prefault('16MiB')
    .describe('A file of the journal that has as many bytes gets a successor.'),
  fsync: z
    .union([z.literal('always'), offOr(duration())])
    .prefault('1s')
    .describe(
      'How often the journal is synced to the disk: what a power cut can take. `off`, or `always` for each write (slow).',
    ),
  journalFailure: z
    .enum(['continue', 'refuse'])
    .default('continue')
    .describe(
      'While the journal cannot be written: `continue` counts in memory, `refuse` answers new calls with 503.',
    ),
}
