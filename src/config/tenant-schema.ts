/** A tenant in the configuration: inline, as a file of a directory, or as a line of a tenants file. */
import { z } from 'zod'
import { TENANT_ID_HINT, TENANT_ID_PATTERN } from '../core/tenant-id.ts'
import { credential } from './credential-schema.ts'
import { deployment } from './deployment-schema.ts'
import { hostName } from './host-form.ts'
import { tenantJwtIssuer } from './jwt-schema.ts'
import { tenantLimits, weight } from './limits-schema.ts'
import { quotas } from './quota-schema.ts'

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
    .array(hostName())
    .max(1_000)
    .default([])
    .describe(
      'Names that belong to this tenant alone: traffic to them needs no credential. `*.` first stands for any names below.',
    ),
  credentials: z
    .array(credential)
    .max(1_000)
    .default([])
    .describe(
      'What proves that traffic is this tenant’s. A JWT whose tenant claim is the id needs no entry.',
    ),
  jwt: z
    .array(tenantJwtIssuer)
    .max(100)
    .default([])
    .describe(
      'Issuers of this tenant alone: every token of theirs is its own, whatever they claim.',
    ),
  deployment: deployment.describe(
    'The deployment of the application that serves this tenant and no other.',
  ),
  passthrough: z
    .boolean()
    .default(false)
    .describe(
      'The tenant brings its own TLS: TLS to its hosts is carried to its deployment as it is, never ended here.',
    ),
  connect: z
    .boolean()
    .default(false)
    .describe(
      'Whether CONNECT reaches the deployment, which then decides what the tunnel leads to. Refused otherwise.',
    ),
  limits: tenantLimits.prefault({}).describe('Limits of this tenant, over those of the service.'),
  weight,
  quotas: quotas
    .default([])
    .describe('How much this tenant may use in a window, over the quotas of the service.'),
  disabled: z.boolean().default(false).describe('Refuses all traffic of this tenant.'),
})
