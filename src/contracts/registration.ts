/**
 * What a proxy tells the mixer of its tenants (`POST /v1/registration`), version 1: whose deployments there are, where
 * they come from, and their quotas. A snapshot goes in pages that are named by their digest, so that only pages that the
 * mixer does not have travel: an unchanged snapshot costs the list of its digests, one changed tenant one page.
 */
import { z } from 'zod'
import { TENANT_ID_PATTERN } from '../core/tenant-id.ts'
import { proxyNameSchema } from './producer-announcement.ts'
import { MAX_QUOTAS_PER_TENANT, quotaSchema } from './quota.ts'

/** Of the content of one request; a page has to fit, too. */
export const MAX_TENANTS_PER_REGISTRATION = 10_000
export const MAX_REGISTRATION_BYTES: number = 1024 * 1024
/** Of one snapshot. */
export const MAX_REGISTRATION_PAGES = 4_096

export const registeredTenantSchema = z.strictObject({
  id: z.string().regex(TENANT_ID_PATTERN),
  disabled: z.boolean().default(false),
  /** `scheme://host:port`, as the configuration has them. */
  endpoints: z
    .array(
      z
        .string()
        .max(1_024)
        .regex(/^[a-z0-9]+:\/\/\S+:\d{1,5}$/),
    )
    .max(256),
  /** SPIFFE ids of the deployment's workload, exact. */
  spiffe: z.array(z.string().min(1).max(2_048)).max(16).default([]),
  /** Addresses and CIDR blocks that the deployment calls from, beside those of its endpoints. */
  addresses: z
    .array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]))
    .max(64)
    .default([]),
  quotas: z.array(quotaSchema).max(MAX_QUOTAS_PER_TENANT).default([]),
})
export type TenantRegistration = Readonly<z.output<typeof registeredTenantSchema>>

/** SHA-256, base64url, of a page's tenants as JSON without spaces and with sorted keys. */
const digest = z.string().regex(/^[A-Za-z0-9_-]{43}$/)

export const registrationSchema = z.strictObject({
  /** Names one proxy, also after a restart: what it registers replaces what it registered before. */
  proxy: proxyNameSchema,
  /** Name of the service whose tenants these are. */
  service: z.string().min(1).max(63),
  /** Grows with every change: milliseconds since the epoch, or one more than before. */
  generation: z.number().int().positive().max(Number.MAX_SAFE_INTEGER),
  /** Digests of all pages of the snapshot. */
  pages: z.array(digest).max(MAX_REGISTRATION_PAGES),
  /** Pages that the mixer said it misses. */
  content: z
    .array(z.strictObject({ digest, tenants: z.array(registeredTenantSchema) }))
    .max(MAX_REGISTRATION_PAGES)
    .refine(
      pages =>
        pages.reduce((sum, { tenants }) => sum + tenants.length, 0) <= MAX_TENANTS_PER_REGISTRATION,
      `at most ${MAX_TENANTS_PER_REGISTRATION} tenants`,
    )
    .default([]),
})
export type Registration = z.output<typeof registrationSchema>

/** Answer to a registration. The snapshot is in force, whole, once `generation` is its own and nothing is missing. */
export const registrationAnswerSchema = z.strictObject({
  proxy: z.string(),
  generation: z
    .number()
    .int()
    .nonnegative()
    .describe(
      'The newest that the mixer knows of; larger than the one sent where that is outdated.',
    ),
  missing: z.array(z.string()).describe('Digests of the pages that the mixer still needs.'),
})
export type RegistrationAnswer = Readonly<z.output<typeof registrationAnswerSchema>>
