/** How long the ledger keeps usage, by the size of the pieces. */
import { z } from 'zod'
import { duration, offOr } from './quantities.ts'

const DAY_MS = 86_400_000

const kept = (): z.ZodType<number> =>
  offOr(duration()).refine(
    value => value === 0 || value >= DAY_MS,
    'must be at least 1d, or off for ever',
  )

export const ledgerRetention = z.strictObject({
  minutes: kept()
    .prefault('35d')
    .describe(
      'How long usage is kept by the minute; then by the hour alone. `off` keeps it for ever.',
    ),
  hours: kept()
    .prefault('400d')
    .describe('How long usage is kept by the hour; then by the day alone.'),
  days: kept().prefault('3653d').describe('How long usage is kept by the day; then it is gone.'),
})
