/** The deployment of a tenant in the configuration: its endpoints, and how connections to them are made and shared. */
import { z } from 'zod'
import { path } from './forms.ts'
import { duration, fraction } from './quantities.ts'

const endpoint = z
  .string()
  .max(300, 'must have at most 300 characters')
  .regex(
    /^(http|https|h2c|h2|tcp|tls):\/\/(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]+):\d{1,5}$/,
    'must be http, https, h2c, h2, tcp or tls, then ://HOST:PORT',
  )

const health = z.strictObject({
  path: z
    .string()
    .startsWith('/', 'must begin with "/"')
    .optional()
    .describe(
      'Path that answers 2xx or 3xx while the endpoint is well. Without it, an endpoint that accepts connections is well.',
    ),
  grpc: z
    .string()
    .max(256, 'must have at most 256 characters')
    .regex(
      /^[A-Za-z0-9_.-]*$/,
      'must be the name of a service, such as orders.v1.Orders, or "" for the whole server',
    )
    .optional()
    .describe(
      'Instead of `path`, for h2 and h2c endpoints: gRPC’s health protocol is asked for this service, "" for the whole server; SERVING is well.',
    ),
  interval: duration()
    .prefault('5s')
    .describe(
      'Time between two checks, give or take a tenth, so that workers do not check as one.',
    ),
  timeout: duration().prefault('2s').describe('A check that takes longer has failed.'),
  fall: z
    .number()
    .int()
    .min(1)
    .max(100)
    .default(3)
    .describe(
      'Checks in a row that fail before an endpoint gets no more calls; the first one ever counts at once.',
    ),
  rise: z
    .number()
    .int()
    .min(1)
    .max(100)
    .default(2)
    .describe('Checks in a row that pass before it gets calls again.'),
})

const tls = z.strictObject({
  ca: path()
    .optional()
    .describe(
      'PEM file: authorities for the certificate of the deployment; the system’s by default.',
    ),
  serverName: z
    .string()
    .min(1)
    .optional()
    .describe('Name that the certificate must have; the host of the endpoint by default.'),
  cert: path().optional().describe('PEM file: certificate shown to the deployment.'),
  key: path().optional().describe('PEM file: its key.'),
})

const identity = z.strictObject({
  spiffe: z
    .string()
    .regex(
      /^spiffe:\/\/[a-z0-9._-]+\/\S+$/,
      'must be a SPIFFE id such as spiffe://example.org/ns/acme/sa/orders',
    )
    .optional()
    .describe('SPIFFE id, exact, in the certificate that the deployment shows to the mixer.'),
  address: z
    .array(
      z.union([z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()], {
        error: 'must be an IP address or a CIDR block',
      }),
    )
    .max(64)
    .default([])
    .describe('Addresses and CIDR blocks that this deployment alone calls from.'),
})

const queue = z.strictObject({
  calls: z
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(1_000)
    .describe('Calls and tunnels that may wait; 0 refuses them at once. Workers share it.'),
  timeout: duration().prefault('5s').describe('How long each may wait.'),
})

const ejection = z.strictObject({
  failures: z
    .number()
    .int()
    .min(1)
    .max(1_000)
    .default(5)
    .describe('Failures in a row: no connection, no or no valid answer, or 502, 503 or 504.'),
  base: duration()
    .prefault('30s')
    .describe('How long the first ejection lasts; the second lasts twice as long, and so on.'),
  max: duration().prefault('5m').describe('No ejection lasts longer.'),
})

const retries = z.strictObject({
  budget: fraction()
    .prefault('20%')
    .describe('Retries under way at once, as a part of the calls under way.'),
  minimum: z
    .number()
    .int()
    .min(0)
    .max(10_000)
    .default(3)
    .describe('So many retries may be under way in a worker however few calls are.'),
})

const policyFields = {
  maxConnections: z.number().int().min(1).max(1_000_000),
  queue,
  ejection,
  panic: fraction(),
  slowStart: duration(),
  retries,
}

/**
 * What holds where a deployment says nothing. It is filled in where the traffic of a deployment begins and not when the
 * file is read: 100,000 tenants would carry 25 MB of it to each worker with each reload.
 */
export const POLICY_DEFAULTS: DeploymentPolicy = z.strictObject(policyFields).parse({
  maxConnections: 1_024,
  queue: {},
  ejection: {},
  panic: '50%',
  slowStart: '0s',
  retries: {},
})

export interface DeploymentPolicy {
  readonly maxConnections: number
  readonly queue: z.output<typeof queue>
  readonly ejection: z.output<typeof ejection>
  /** 0 to 1. */
  readonly panic: number
  readonly slowStart: number
  readonly retries: z.output<typeof retries>
}

export const deployment = z.strictObject({
  endpoints: z
    .array(endpoint)
    .min(1)
    .max(256)
    .describe(
      'Where the deployment listens: http, https, h2c, h2, tcp or tls; h2 and h2c are HTTP/2, with TLS and in cleartext. For a tunnel, http, h2c and tcp are the same place, and https, h2 and tls. Each address of a name is an endpoint of its own.',
    ),
  health: health.optional().describe('Active health checks, by HTTP, gRPC or a connection.'),
  tls: tls.optional().describe('For https, h2 and tls endpoints, which are always verified.'),
  proxyProtocol: z
    .enum(['off', 'v1', 'v2'])
    .optional()
    .describe(
      'Whether connections to it begin with a PROXY protocol header: of the client for tunnels and upgrades, of the proxy itself for the shared connections of calls. Off by default.',
    ),
  maxConnections: policyFields.maxConnections
    .optional()
    .describe('Connections at once, of calls and of tunnels; 1024 by default. Workers share it.'),
  queue: queue
    .optional()
    .describe('What waits while all connections are in use, or while a name has no address yet.'),
  ejection: ejection
    .optional()
    .describe('An endpoint that keeps failing gets no calls for a while, where there is another.'),
  panic: policyFields.panic
    .optional()
    .describe(
      'With less than this part of the endpoints well, all are used, well or not; 50% by default, 0% is off.',
    ),
  slowStart: policyFields.slowStart
    .optional()
    .describe(
      'How long an endpoint that comes back or is new takes to its full share, from a tenth of it; 0s, at once, by default.',
    ),
  retries: retries
    .optional()
    .describe('How many calls may be tried again at a time, so that retries are no second wave.'),
  identity: identity
    .optional()
    .describe(
      'How the mixer knows a call of the deployment, beside the addresses of its endpoints and its process.',
    ),
})
