/** What one source address may do, whoever it is: an IPv4 address, or a /64 of IPv6. */
import { z } from 'zod'
import { offOr, rate } from './quantities.ts'

const AT_ONCE = 'must be off or a number from 1 to 1000000'
const REMEMBERED = 'must be a number from 1000 to 1000000'

const atOnce = () =>
  z.union(
    [z.literal('off').transform(() => 0), z.number().int().min(1, AT_ONCE).max(1_000_000, AT_ONCE)],
    { error: AT_ONCE },
  )

export const sources = z.strictObject({
  connections: atOnce()
    .default(10_000)
    .describe('Open connections of one address; or off. Divided among the workers.'),
  newConnections: offOr(rate())
    .prefault('1000/s')
    .describe(
      'New connections of one address; those of ten seconds may come at once. Or off. Divided among the workers.',
    ),
  maxHandshakes: atOnce()
    .default(500)
    .describe('TLS handshakes of one address at once in a worker; or off.'),
  newHandshakes: offOr(rate())
    .prefault('off')
    .describe(
      'TLS handshakes of one address that are begun; those of ten seconds may come at once. Or off. Divided among the workers.',
    ),
  badCredentials: offOr(rate())
    .prefault('20/s')
    .describe(
      'Calls of one address without a valid credential; those of ten seconds may come at once. Beyond that their connections are not read for a second, or end (HTTP/2). Or off. Divided among the workers.',
    ),
  remembered: z
    .number({ error: REMEMBERED })
    .int(REMEMBERED)
    .min(1_000, REMEMBERED)
    .max(1_000_000, REMEMBERED)
    .default(16_384)
    .describe(
      'Addresses without a connection whose rates a worker remembers; then the one that left first is forgotten.',
    ),
})

/** 0 is off; rates a second. */
export type SourcesConfig = z.output<typeof sources>
