/** What proves that traffic is a tenant's. */
import { z } from 'zod'
import { API_KEY_PREFIX } from '../core/api-key.ts'
import { digest } from './forms.ts'
import { claimValues } from './jwt-schema.ts'
import { privateLink } from './private-link-schema.ts'

const LABEL_HINT =
  'must be 1 to 64 of letters, digits, spaces and ._:@/+-, with a letter or digit at both ends'

export const apiKeyCredential = z.strictObject({
  apiKey: digest().describe('SHA-256 of an API key; `amt key` makes both.'),
  label: z
    .string()
    .regex(/^[\p{L}\p{N}](?:[\p{L}\p{N} ._:@/+-]{0,62}[\p{L}\p{N}])?$/u, LABEL_HINT)
    .refine(label => !label.includes(API_KEY_PREFIX), 'must not be a key')
    .optional()
    .describe('What the key is for: shown on the admin server and in the log.'),
  expires: z.iso
    .datetime({ offset: true, error: 'must be a time such as 2027-01-01T00:00:00Z' })
    .optional()
    .describe('From this moment on the key is refused; it has no end by default.'),
})

/** What there is most of stands first: a form that does not fit costs as much as one that does, 0.5 µs of each tenant. */
export const credential = z.union([
  apiKeyCredential,
  z.strictObject({ certificate: digest().describe('SHA-256 of one client certificate (DER).') }),
  z.strictObject({
    spiffe: z
      .string()
      .max(2_048, 'must have at most 2048 characters')
      .regex(
        /^spiffe:\/\/[a-z0-9._-]{1,255}\/\S+$/,
        'must be a SPIFFE id such as spiffe://example.org/tenant/acme',
      )
      .describe(
        'SPIFFE id, exact, or a path prefix that ends in /*; of a certificate or a JWT-SVID. The exact id wins, then the longest prefix.',
      ),
  }),
  z.strictObject({
    jwt: z
      .strictObject({
        issuer: z.string().min(1).describe('One of the issuers under `authentication.jwt`.'),
        claims: claimValues().describe(
          'Claims that must have exactly these values; one that is an array must have them in it.',
        ),
      })
      .describe('Tokens of this tenant, where the tenant claim is not its id.'),
  }),
  z.strictObject({
    privateLink: privateLink.describe(
      'Connections through this private link of a cloud, on listeners with `proxyProtocol: required`.',
    ),
  }),
])
