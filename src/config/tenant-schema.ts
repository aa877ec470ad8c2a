/** A tenant in the configuration: inline, as a file of a directory, or as a line of a tenants file. */
import { z } from 'zod'
import { TENANT_ID_HINT, TENANT_ID_PATTERN } from '../core/tenant-id.ts'
import { deployment } from './deployment-schema.ts'
import { digest } from './forms.ts'
import { bandwidth, rate, size } from './quantities.ts'
import { quotas } from './quota-schema.ts'

export const credential = z.union([
  z.strictObject({
    spiffe: z
      .string()
      .regex(
        /^spiffe:\/\/[a-z0-9._-]+\/\S+$/,
        'must be a SPIFFE id such as spiffe://example.org/tenant/acme',
      )
      .describe('SPIFFE id, exact, or a path prefix that ends in /*.'),
  }),
  z.strictObject({ certificate: digest().describe('SHA-256 of one client certificate (DER).') }),
  z.strictObject({
    jwt: z
      .strictObject({
        issuer: z.string().min(1).describe('One of the issuers under `authentication.jwt`.'),
        claims: z
          .record(z.string(), z.string())
          .describe('Claims that must have exactly these values.'),
      })
      .describe('Tokens of this tenant, where the tenant claim is not its id.'),
  }),
  z.strictObject({ apiKey: digest().describe('SHA-256 of an API key; `amt key` makes both.') }),
])

export const limitFields = {
  requests: rate().optional().describe('Calls a time; no limit by default.'),
  burst: z
    .number()
    .int()
    .positive()
    .optional()
    .describe('Calls that may come at once on top of the rate; a second’s worth by default.'),
  concurrency: z.number().int().positive().optional().describe('Calls under way at once.'),
  connections: z.number().int().positive().optional().describe('Open downstream connections.'),
  ingress: bandwidth()
    .optional()
    .describe('Bytes a second from downstream; paced, not cut. No limit by default.'),
  egress: bandwidth()
    .optional()
    .describe('Bytes a second to downstream; paced, not cut. No limit by default.'),
  body: size().optional().describe('Size of a request body; no limit by default.'),
}

export const tenantLimits = z.strictObject(limitFields)
/** One tenant; also the form of a file in a tenants directory and of a line in a tenants file. */
export const tenantSchema = z.strictObject({
  id: z
    .string()
    .regex(TENANT_ID_PATTERN, `must be ${TENANT_ID_HINT}`)
    .describe('Id of the tenant: 1 to 63 of a-z, 0-9 and "-".'),
  address: z
    .union([z.ipv4(), z.ipv6()], { error: 'must be an IP address' })
    .optional()
    .describe('Address of the tenant in private mode.'),
  hosts: z
    .array(
      z
        .string()
        .regex(
          /^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/,
          'must be a host name in lower case, "*." may stand first',
        ),
    )
    .max(1_000)
    .default([])
    .describe('Names that belong to this tenant alone: traffic to them needs no credential.'),
  credentials: z
    .array(credential)
    .max(1_000)
    .default([])
    .describe(
      'What proves that traffic is this tenant’s. A JWT whose tenant claim is the id needs no entry.',
    ),
  deployment: deployment.describe(
    'The deployment of the application that serves this tenant and no other.',
  ),
  connect: z
    .boolean()
    .default(false)
    .describe(
      'Whether CONNECT reaches the deployment, which then decides what the tunnel leads to. Refused otherwise.',
    ),
  limits: tenantLimits.prefault({}).describe('Limits of this tenant, over those of the service.'),
  quotas: quotas
    .default([])
    .describe('How much this tenant may use in a window, over the quotas of the service.'),
  disabled: z.boolean().default(false).describe('Refuses all traffic of this tenant.'),
})
