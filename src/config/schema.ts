/**
 * The configuration file: every key with its meaning and its default. `amt schema` prints it for editors, the loader
 * checks against it, and `config.example.yaml` must show every key of it.
 * Only the form of single values is decided here; what must hold between values is in `rules.ts`.
 */
import { z } from 'zod'
import type { deployment } from './deployment-schema.ts'
import { exportSchema } from './export-schema.ts'
import { fieldName, hostPort, labelledTenants, name, path } from './forms.ts'
import { http1 } from './http1-schema.ts'
import { journalFields } from './journal-schema.ts'
import { mixerCa, mixerTls } from './mixer-tls-schema.ts'
import { bandwidth, duration, offOr } from './quantities.ts'
import { quotaFailure, quotas } from './quota-schema.ts'
import { ledgerRetention } from './retention-schema.ts'
import { type credential, limitFields, type tenantLimits, tenantSchema } from './tenant-schema.ts'

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

const certificate = z.strictObject({
  cert: path().describe('PEM file: the certificate and its chain.'),
  key: path().describe('PEM file: the private key.'),
})

const listenerTls = z.strictObject({
  certificates: z
    .array(certificate)
    .min(1)
    .max(1_000)
    .describe('Chosen by SNI; the first is used where no name fits.'),
  clientCertificate: z
    .enum(['off', 'optional', 'required'])
    .default('off')
    .describe(
      'Whether clients are asked for a certificate. One that is shown must be valid in any case.',
    ),
  clientCa: path()
    .optional()
    .describe('PEM file: the authorities that client certificates are verified against.'),
})

const listenerCommon = {
  name: name().describe('Name of the listener, in logs, metrics and usage records.'),
  protocol: z
    .enum(['auto', 'http', 'tcp'])
    .default('auto')
    .describe('`auto` finds out from the first bytes; nothing within `timeouts.detect` means TCP.'),
  tls: listenerTls.optional().describe('TLS is terminated here. Without it the listener is plain.'),
  proxyProtocol: z
    .enum(['off', 'required'])
    .default('off')
    .describe(
      '`required`: each connection must begin with a PROXY protocol header (v1 or v2). Never guessed.',
    ),
}

const sharedListener = z.strictObject({
  ...listenerCommon,
  mode: z
    .literal('shared')
    .describe(
      'All tenants behind one address: a certificate, a credential or a name says whose traffic it is.',
    ),
  address: hostPort().describe('Address and port to listen on.'),
})

const privateListener = z.strictObject({
  ...listenerCommon,
  mode: z
    .literal('private')
    .describe('One address a tenant: the address at which traffic arrives says whose it is.'),
  port: z
    .number()
    .int()
    .min(0)
    .max(65_535)
    .describe('Port, on the address of every tenant that has one.'),
  bind: z
    .enum(['each', 'wildcard'])
    .default('each')
    .describe(
      '`each`: a socket a tenant address. `wildcard`: one socket for all addresses of the machine, for very many tenants.',
    ),
})

/** One listener. */
export const listenerSchema = z.discriminatedUnion('mode', [sharedListener, privateListener])

const jwtIssuer = z.strictObject({
  issuer: z.string().min(1).max(1_024).describe('The `iss` claim, compared exactly.'),
  audiences: z
    .array(z.string().min(1))
    .min(1)
    .describe('At least one of them must be in the `aud` claim.'),
  jwks: z.string().min(1).describe('Where the keys are: an http(s) URL or a path.'),
  algorithms: z
    .array(
      z.enum([
        'RS256',
        'RS384',
        'RS512',
        'PS256',
        'PS384',
        'PS512',
        'ES256',
        'ES384',
        'ES512',
        'EdDSA',
      ]),
    )
    .min(1)
    .default(['RS256', 'ES256', 'EdDSA'])
    .describe('Signature algorithms that are taken; all are asymmetric.'),
  tenantClaim: z
    .string()
    .min(1)
    .default('tenant')
    .describe('The claim whose value is the id of the tenant.'),
  clockSkew: duration().prefault('60s').describe('By how much `exp` and `nbf` may be off.'),
})

const authentication = z.strictObject({
  jwt: z
    .array(jwtIssuer)
    .default([])
    .describe('Issuers of JSON Web Tokens (`Authorization: Bearer …`).'),
  apiKey: z
    .strictObject({
      header: fieldName()
        .default('x-api-key')
        .describe('Field that carries the key; `Authorization: ApiKey …` works as well.'),
      query: z
        .string()
        .min(1)
        .optional()
        .describe(
          'Query parameter that carries the key. Off unless named: a key in a URL ends up in logs.',
        ),
    })
    .prefault({})
    .describe('Where API keys are looked for.'),
  spiffe: z
    .strictObject({
      trustDomain: z
        .string()
        .regex(/^[a-z0-9._-]{1,255}$/, 'must be a trust domain such as example.org')
        .describe('Only ids of this trust domain are taken.'),
    })
    .optional()
    .describe('SPIFFE ids in client certificates.'),
  forwardCredentials: z
    .boolean()
    .default(false)
    .describe('Whether deployments see tokens and keys.'),
})

const serviceLimits = z.strictObject({
  ...limitFields,
  concurrency: z
    .number()
    .int()
    .positive()
    .default(1_000)
    .describe('Calls of a tenant under way at once.'),
  connections: z
    .number()
    .int()
    .positive()
    .default(10_000)
    .describe('Open downstream connections of a tenant.'),
})

const tenantSource = z.union([
  z.strictObject({ directory: path().describe('Directory with one YAML file a tenant.') }),
  z.strictObject({ file: path().describe('File with one tenant a line, as JSON.') }),
])

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
  call: offOr(duration())
    .default(0)
    .describe(
      'How long a call may take from its head to the end of its answer; upgraded ones are free of it. Off by default: downloads and event streams are long.',
    ),
  drain: duration()
    .prefault('30s')
    .describe('How long running calls and tunnels have to end on shutdown.'),
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
    .describe('Peers whose `x-forwarded-*` fields are kept.'),
  tenants: z.array(tenantSchema).default([]).describe('The tenants.'),
  tenantSources: z
    .array(tenantSource)
    .default([])
    .describe('More tenants, watched; a change applies without a restart.'),
  limits: serviceLimits.prefault({}).describe('Limits of every tenant that has none of its own.'),
  quotas: quotas.default([]).describe('How much every tenant may use in a window.'),
  http1: http1.prefault({}).describe('How HTTP/1.1 is read: caps, and what becomes of paths.'),
  timeouts: timeouts.prefault({}).describe('How long things may take.'),
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
  admin: z
    .strictObject({
      address: hostPort()
        .default('127.0.0.1:9901')
        .describe('Address and port of the admin server.'),
    })
    .prefault({})
    .describe('Health, metrics and control; keep it on loopback.'),
  log: z
    .strictObject({
      level: z
        .enum(['error', 'warn', 'info', 'debug'])
        .default('info')
        .describe('Lowest level that is written.'),
      access: z
        .union([z.enum(['off', 'stdout']), path()], { error: 'must be off, stdout or a path' })
        .default('stdout')
        .describe('Access log: `off`, `stdout` or a path; one JSON line a call or tunnel.'),
    })
    .prefault({})
    .describe('Logs, as JSON lines.'),
  metrics: z
    .strictObject({
      tenants: labelledTenants(),
    })
    .prefault({})
    .describe('Prometheus metrics.'),
  workers: z
    .union([z.literal('auto'), z.number().int().min(1, WORKERS).max(256, WORKERS)], {
      error: WORKERS,
    })
    .default('auto')
    .describe('Worker processes; `auto` is one a core.'),
})

/** A loaded configuration: every default filled in, quantities as numbers (ms, bytes, a second), paths absolute. */
export type Config = z.output<typeof configSchema>
export type TenantConfig = z.output<typeof tenantSchema>
export type ListenerConfig = z.output<typeof listenerSchema>
export type CredentialConfig = z.output<typeof credential>
export type LimitsConfig = z.output<typeof tenantLimits>
export type DeploymentConfig = z.output<typeof deployment>
export type JwtIssuerConfig = z.output<typeof jwtIssuer>
