/** How credentials are checked, for the whole service. */
import { z } from 'zod'
import { fieldName } from './forms.ts'
import { duration } from './quantities.ts'
import { spiffe } from './spiffe-schema.ts'

export const jwtIssuer = z.strictObject({
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

export const authentication = z.strictObject({
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
  spiffe: spiffe
    .optional()
    .describe('SPIFFE ids: in client certificates (X.509-SVID) and bearer tokens (JWT-SVID).'),
  forwardCredentials: z
    .boolean()
    .default(false)
    .describe('Whether deployments see tokens and keys.'),
})
