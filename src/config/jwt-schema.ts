/** Issuers of JSON Web Tokens: those of the service, and those of one tenant. */
import { z } from 'zod'
import { CLAIM_PATH_HINT, parseClaimPath } from '../core/claim-path.ts'
import { duration } from './quantities.ts'

const CLAIM_PATH = `must be ${CLAIM_PATH_HINT}`

const claimPath = z.string().refine(text => parseClaimPath(text) !== undefined, CLAIM_PATH)

/** Claims and the values that they must have, or have among them where they are arrays. */
export const claimValues = (): z.ZodRecord<typeof claimPath, z.ZodString> =>
  z.record(claimPath, z.string())

const issuerFields = {
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
        'Ed25519',
      ]),
    )
    .min(1)
    .default(['RS256', 'ES256', 'EdDSA'])
    .describe('Signature algorithms that are taken; all are asymmetric.'),
  types: z
    .array(z.string().regex(/^[A-Za-z0-9!#$&^_.+/-]{1,127}$/, 'must be a type such as at+jwt'))
    .min(1)
    .default(['JWT', 'at+jwt'])
    .describe(
      'What `typ` in the header may be, without case and with or without `application/` before it.',
    ),
  requireType: z
    .boolean()
    .default(false)
    .describe('Whether a token without `typ` is refused, as RFC 9068 asks of access tokens.'),
  clockSkew: duration().prefault('60s').describe('By how much `exp`, `nbf` and `iat` may be off.'),
  maxStale: duration()
    .prefault('24h')
    .describe('How long the last keys are used while the issuer cannot be reached.'),
}

export const jwtIssuer = z.strictObject({
  ...issuerFields,
  tenantClaim: z
    .union([z.array(z.string().min(1)).min(1).max(8), claimPath], { error: CLAIM_PATH })
    .default('tenant')
    .describe(
      'The claim whose value is the id of the tenant: a name, `realm.tenant`, or a list of names.',
    ),
})

/** An issuer whose every token is the tenant's that lists it. */
export const tenantJwtIssuer = z.strictObject({
  ...issuerFields,
  claims: claimValues()
    .default({})
    .describe('Claims that its tokens must have with exactly these values; others are refused.'),
})
