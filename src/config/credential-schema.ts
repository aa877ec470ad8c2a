/** What proves that traffic is a tenant's. */
import { z } from 'zod'
import { digest } from './forms.ts'

export const credential = z.union([
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
