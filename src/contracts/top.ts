/** What tenants are doing at this moment: `GET /top` of the admin server, and `amt top`, which shows it. */
import { z } from 'zod'

/** What to sort by: the most comes first, and of equals, as of `tenant`, the first of the alphabet. */
export const TOP_KEYS = [
  'calls',
  'errors',
  'bytes',
  'ingress',
  'egress',
  'limited',
  'connections',
  'time',
  'tenant',
] as const
export type TopKey = (typeof TOP_KEYS)[number]

export const MAX_TOP_TENANTS = 1_000
/** Of the text that ids must contain; ids have no more. */
export const MAX_TOP_FILTER = 63

const figure = z.number().nonnegative()

/** On average a second, over `seconds`. */
const figuresSchema = z.strictObject({
  calls: figure.describe('Calls that ended.'),
  errors: figure.describe('Of them, those with 5xx or a gRPC status that stands for it.'),
  ingress: figure.describe('Bytes from clients.'),
  egress: figure.describe('Bytes to clients.'),
  limited: figure.describe('Calls and connections that met a limit, or were refused for overload.'),
  meanMs: figure.describe('Of a call, from its first byte to the last of its answer.'),
  connections: figure.describe('Open at this moment.'),
})
export type TopFigures = z.infer<typeof figuresSchema>

const topTenantSchema = figuresSchema.extend({
  tenant: z.string(),
  endpoints: z
    .strictObject({ healthy: figure, ejected: figure })
    .nullable()
    .describe('Null until a worker knows.'),
  closest: z
    .strictObject({ limit: z.string(), part: figure })
    .nullable()
    .describe('The limit that is used up most, of calls, connections and bandwidth; 1 is all.'),
})
export type TopTenant = z.infer<typeof topTenantSchema>

export const topSchema = z.strictObject({
  service: z.string(),
  phase: z.string(),
  workers: z.strictObject({ ready: figure, count: figure }),
  seconds: figure.describe('That rates are averages over; 0 before the first report of a worker.'),
  tenants: z.strictObject({
    configured: figure,
    active: figure.describe('With traffic in these seconds, or an open connection.'),
    matching: figure.describe('Of them, those that the filter takes.'),
  }),
  totals: figuresSchema.describe('Of all tenants, whatever the filter takes.'),
  top: z.array(topTenantSchema).max(MAX_TOP_TENANTS),
})
export type Top = z.infer<typeof topSchema>
