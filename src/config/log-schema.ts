/** Logs: what the proxy says of itself, and the access log. */
import { z } from 'zod'
import { path } from './forms.ts'
import { fraction, offOr, size, sizeBetween } from './quantities.ts'

const KEEP = 'must be a number from 1 to 100'
const CLAIM = 'must be off or the name of a claim, of at most 64 characters'

const sampling = z.strictObject({
  calls: fraction()
    .prefault('100%')
    .describe('Part of the calls that went well and are written, by chance.'),
  failed: fraction()
    .prefault('100%')
    .describe('The same of calls and connections that were refused or failed: those with a flag.'),
  connections: fraction()
    .prefault('100%')
    .describe('The same of connections that went well; tunnels are some of them.'),
})

const rotation = z.strictObject({
  size: offOr(size())
    .prefault('off')
    .describe('A file that has become so large is moved to `….1`, and that one to `….2`; or off.'),
  keep: z
    .number({ error: KEEP })
    .int(KEEP)
    .min(1, KEEP)
    .max(100, KEEP)
    .default(5)
    .describe('How many moved files stay.'),
})

export const log = z.strictObject({
  level: z
    .enum(['error', 'warn', 'info', 'debug'])
    .default('info')
    .describe('Lowest level that is written.'),
  access: z
    .union([z.enum(['off', 'stdout']), path()], { error: 'must be off, stdout or a path' })
    .default('stdout')
    .describe('Access log: `off`, `stdout` or a path; one JSON line a call and a connection.'),
  accessSampling: sampling
    .prefault({})
    .describe('How much of it is written; a line of a part says which part (`sample`).'),
  accessRotation: rotation
    .prefault({})
    .describe(
      'When a new file is begun. SIGUSR1 opens it anew as well, for logrotate and the like.',
    ),
  accessBuffer: sizeBetween(64 * 1024, 256 * 1024 * 1024)
    .prefault('4MiB')
    .describe(
      'What may wait in a worker for a slow disk or reader; lines beyond that are dropped.',
    ),
  accessTokenClaim: z
    .union([z.literal('off'), z.string().min(1, CLAIM).max(64, CLAIM)], { error: CLAIM })
    .default('sub')
    .describe('The claim that is the id of a JSON Web Token in the access log; or off.'),
})
