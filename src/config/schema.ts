/**
 * The configuration file: every key with its meaning and its default. `amt schema` prints it for editors, the loader
 * checks against it, and `config.example.yaml` must show every key of it.
 * Only the form of single values is decided here; what must hold between values is in `rules.ts`.
 */
import { z } from 'zod'
import { admin } from './admin-schema.ts'
import { authentication } from './authentication-schema.ts'
import type { credential } from './credential-schema.ts'
import type { deployment } from './deployment-schema.ts'
import { drain } from './drain-schema.ts'
import { exportSchema } from './export-schema.ts'
import { hostPort, labelledTenants, name, path } from './forms.ts'
import { http1 } from './http1-schema.ts'
import { http2 } from './http2-schema.ts'
import { journalFields } from './journal-schema.ts'
import type { jwtIssuer, tenantJwtIssuer } from './jwt-schema.ts'
import { serviceLimits, type tenantLimits } from './limits-schema.ts'
import { listenerSchema } from './listener-schema.ts'
import { log } from './log-schema.ts'
import { mixerCa, mixerTls } from './mixer-tls-schema.ts'
import { overload } from './overload-schema.ts'
import { bandwidth, duration, offOr } from './quantities.ts'
import { quotaFailure, quotas } from './quota-schema.ts'
import { ledgerRetention } from './retention-schema.ts'
import { sources } from './sources-schema.ts'
import type { spiffe } from './spiffe-schema.ts'
import { tenantSchema } from './tenant-schema.ts'
import { tracing } from './tracing-schema.ts'

const operation = z.strictObject({
  name: name().describe('Name in usage records and metrics.'),
  match: z
    .string()
    .regex(
      /^([A-Z]+|\*) \/\S*$|^grpc [A-Za-z0-9_.]+\/(\*|[A-Za-z0-9_]+)$/,
      'must be "METHOD /path" or "grpc package.Service/Method"',
    )
    .describe(
      '`METHOD /path` with `:name` for one segment and a last `*` for the rest, method `*` for any; or `grpc package.Service/Method`.',
    ),
})

const service = z.strictObject({
  name: name().default('amt').describe('Name of the service, in logs and in `via`.'),
  operations: z
    .array(operation)
    .max(1_000)
    .default([])
    .describe(
      'Named groups of calls that are priced as one. The first match wins; a call that matches none counts as "other".',
    ),
})

const tenantSource = z.union([
  z.strictObject({ directory: path().describe('Directory with one YAML file a tenant.') }),
  z.strictObject({ file: path().describe('File with one tenant a line, as JSON.') }),
])

/** Shorter than this a busy machine keeps a worker from its second. */
const SHORTEST_SILENCE_MS = 5_000

const timeouts = z.strictObject({
  detect: duration()
    .prefault('500ms')
    .describe(
      'How long the first bytes may take on a listener with `protocol: auto`; then it is TCP.',
    ),
  handshake: duration().prefault('10s').describe('How long a TLS handshake may take.'),
  header: duration()
    .prefault('10s')
    .describe('How long the head of a call may take from its first byte.'),
  body: duration().prefault('30s').describe('How long a body may pause.'),
  connect: duration().prefault('5s').describe('How long a connection to a deployment may take.'),
  response: duration()
    .prefault('60s')
    .describe('How long a deployment may take to begin its answer.'),
  idle: duration()
    .prefault('5m')
    .describe('How long a connection, tunnel or begun answer without traffic is kept.'),
  probe: offOr(duration())
    .prefault('60s')
    .describe(
      'A client from which nothing came for so long is asked by TCP whether it is there, and closed where it does not answer for ten seconds; or off.',
    ),
  call: offOr(duration())
    .default(0)
    .describe(
      'How long a call may take from its head to the end of its answer; upgraded ones are free of it. Off by default: downloads and event streams are long.',
    ),
  drain: duration().prefault('30s').describe('How long running calls have to end on shutdown.'),
  worker: offOr(duration())
    .refine(
      ms => ms === 0 || ms >= SHORTEST_SILENCE_MS,
      'must be at least 5s, or off: a worker gives a sign of life once a second',
    )
    .prefault('30s')
    .describe(
      'How long a worker may give no sign of life; then it is killed and replaced; or off.',
    ),
})

const minimumRate = z.strictObject({
  request: offOr(bandwidth())
    .prefault('240B/s')
    .describe('The least rate at which a request body must arrive, or off.'),
  response: offOr(bandwidth())
    .prefault('240B/s')
    .describe('The least rate at which a client must take an answer that waits for it, or off.'),
  window: duration()
    .prefault('30s')
    .describe('Over how long a rate is measured; time in which we did not read is left out.'),
})

const mixer = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
    .default('http://127.0.0.1:9092')
    .describe('Where proxies report to.'),
  listen: hostPort()
    .optional()
    .describe('Where the mixer listens; the address in `url` by default.'),
  token: z
    .string()
    .min(16, 'must have at least 16 characters')
    .describe('Opens reporting and reading of usage.'),
  ...journalFields,
  quotaFailure,
  tls: mixerTls
    .optional()
    .describe('The mixer serves TLS with this, and `url` is https. Without it the mixer is plain.'),
  ca: mixerCa,
})

const WORKERS = 'must be auto or a number from 1 to 256'

export const configSchema = z.strictObject({
  service: service.prefault({}).describe('The service and how its calls are grouped.'),
  listeners: z.array(listenerSchema).min(1).max(1_000).describe('Where traffic comes in.'),
  authentication: authentication.prefault({}).describe('How credentials are checked.'),
  trustedProxies: z
    .array(
      z.union([z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()], {
        error: 'must be an IP address or a CIDR block',
      }),
    )
    .default([])
    .describe(
      'Peers whose `x-forwarded-*` fields are kept, and the only ones whose PROXY headers are taken.',
    ),
  tenants: z.array(tenantSchema).default([]).describe('The tenants.'),
  tenantSources: z
    .array(tenantSource)
    .default([])
    .describe('More tenants, watched; a change applies without a restart.'),
  limits: serviceLimits.prefault({}).describe('Limits of every tenant that has none of its own.'),
  sources: sources
    .prefault({})
    .describe(
      'Limits of every source address, an IPv4 address or a /64 of IPv6; `trustedProxies` have none.',
    ),
  quotas: quotas.default([]).describe('How much every tenant may use in a window.'),
  http1: http1.prefault({}).describe('How HTTP/1.1 is read: caps, and what becomes of paths.'),
  http2: http2
    .prefault({})
    .describe('How HTTP/2 is spoken: caps, windows, and how long a connection lives.'),
  overload: overload
    .prefault({})
    .describe('When a worker is busy or short of something, and what it does about it.'),
  timeouts: timeouts.prefault({}).describe('How long things may take.'),
  drain: drain
    .prefault({})
    .describe('What else the end of the proxy waits for, beside `timeouts.drain`.'),
  minimumRate: minimumRate
    .prefault({})
    .describe('What a client must move at least: slower ones are cut off.'),
  mixer: mixer.describe('The mixer: where usage goes.'),
  ledger: z
    .string()
    .regex(/^(sqlite:.+|postgres(ql)?:\/\/.+)$/, 'must be sqlite:PATH or postgres://…')
    .default('sqlite:data/ledger.db')
    .describe(
      'Where the mixer keeps its ledger: `sqlite:PATH`, or `postgres://…` for several mixers on one.',
    ),
  ledgerRetention: ledgerRetention
    .prefault({})
    .describe('How long the ledger keeps usage; each of them at least as long as the one before.'),
  exports: z
    .array(exportSchema)
    .max(100)
    .default([])
    .describe('Where closed windows of the ledger go: payment systems, files, metrics.'),
  admin: admin.prefault({}).describe('Health, metrics and control.'),
  log: log.prefault({}).describe('Logs, as JSON lines.'),
  metrics: z
    .strictObject({
      tenants: labelledTenants(),
    })
    .prefault({})
    .describe('Prometheus metrics.'),
  tracing: tracing
    .optional()
    .describe('Spans of calls, for a collector of OpenTelemetry; none where this is left out.'),
  workers: z
    .union([z.literal('auto'), z.number().int().min(1, WORKERS).max(256, WORKERS)], {
      error: WORKERS,
    })
    .default('auto')
    .describe('Worker processes; `auto` is one a core. A reload starts or drains the difference.'),
})

/** A loaded configuration: every default filled in, quantities as numbers (ms, bytes, a second), paths absolute. */
export type Config = z.output<typeof configSchema>
export type TenantConfig = z.output<typeof tenantSchema>
export type ListenerConfig = z.output<typeof listenerSchema>
export type CredentialConfig = z.output<typeof credential>
export type LimitsConfig = z.output<typeof tenantLimits>
export type DeploymentConfig = z.output<typeof deployment>
export type JwtIssuerConfig = z.output<typeof jwtIssuer>
export type TenantJwtIssuerConfig = z.output<typeof tenantJwtIssuer>
export type SpiffeConfig = z.output<typeof spiffe>
