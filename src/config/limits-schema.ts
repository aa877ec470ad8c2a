/** Limits of a tenant in the configuration, and those of the service that stand in for what a tenant leaves out. */
import { z } from 'zod'
import { bandwidth, rate, size } from './quantities.ts'

const count = (): z.ZodNumber => z.number().int().positive()

export const limitFields = {
  requests: rate().optional().describe('Calls a time; no limit by default.'),
  burst: count()
    .optional()
    .describe('Calls that may come at once on top of the rate; a second’s worth by default.'),
  concurrency: count().optional().describe('Calls under way at once.'),
  streams: count()
    .optional()
    .describe(
      'Calls under way at once on one connection of HTTP/2; no limit by default but `http2.maxStreams`.',
    ),
  connections: count().optional().describe('Open downstream connections.'),
  newConnections: rate()
    .optional()
    .describe('New downstream connections a time, a second’s worth at once. No limit by default.'),
  handshakes: rate()
    .optional()
    .describe(
      'TLS handshakes a time that are begun for a name or an address of the tenant, a second’s worth at once. No limit by default.',
    ),
  ingress: bandwidth()
    .optional()
    .describe('Bytes a second from downstream; paced, not cut. No limit by default.'),
  egress: bandwidth()
    .optional()
    .describe('Bytes a second to downstream; paced, not cut. No limit by default.'),
  body: size().optional().describe('Size of a request body; no limit by default.'),
  buffered: size()
    .optional()
    .describe(
      'Bytes that wait for slow peers, in each worker: with more of them no further call begins.',
    ),
  upstreamConnections: count()
    .optional()
    .describe(
      'Connections to the deployment; the lesser of this and `deployment.maxConnections` holds. No limit of its own by default.',
    ),
  pending: z
    .number()
    .int()
    .min(0)
    .optional()
    .describe(
      'Calls and tunnels that wait for a connection to the deployment; the lesser of this and `deployment.queue.calls` holds. No limit of its own by default.',
    ),
}

export const tenantLimits = z.strictObject(limitFields)

export const serviceLimits = z.strictObject({
  ...limitFields,
  concurrency: count().default(1_000).describe('Calls of a tenant under way at once.'),
  buffered: size()
    .prefault('128MiB')
    .describe(
      'Bytes of a tenant that wait for slow peers, in each worker: with more of them no further call begins.',
    ),
  connections: count().default(10_000).describe('Open downstream connections of a tenant.'),
})

/** A tenant's part of what there is too little of, against the parts of others. */
export const weight = z
  .number()
  .int()
  .min(1)
  .max(1_000)
  .optional()
  .describe(
    'Share of a busy worker against those of other tenants: one with 2 gets twice as much as one with 1, which is the default.',
  )
