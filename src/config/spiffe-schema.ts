/** Trust domains in the configuration: whose SPIFFE ids are taken, and what proves them. */
import { z } from 'zod'
import { path } from './forms.ts'
import { duration } from './quantities.ts'

const trustDomainName = (): z.ZodString =>
  z
    .string()
    .regex(
      /^[a-z0-9._-]{1,255}$/,
      'must be a trust domain such as example.org: lower-case letters, digits, ".", "_" and "-"',
    )

const trustDomain = z.strictObject({
  name: trustDomainName().describe('Name of the trust domain, as in `spiffe://NAME/…`.'),
  ca: path()
    .optional()
    .describe(
      'PEM file: the authorities of this trust domain, one or several. Its ids count in certificates that come from them, in no other.',
    ),
  jwks: path()
    .optional()
    .describe(
      'Where the keys of its JWT-SVIDs are: an http(s) URL or a path. Only keys with `use: jwt-svid` count.',
    ),
  audiences: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe('At least one of them must be in the `aud` claim of a JWT-SVID; needed with `jwks`.'),
  clockSkew: duration()
    .prefault('60s')
    .describe('By how much `exp`, `nbf` and `iat` of a JWT-SVID may be off.'),
  maxStale: duration()
    .prefault('24h')
    .describe('How long the last keys are used while `jwks` cannot be reached.'),
})

/** There is at least one trust domain; the rules see to that. */
export const spiffe = z.strictObject({
  trustDomain: trustDomainName()
    .optional()
    .describe(
      'The trust domain of the authorities in `clientCa`. For more of them, or for JWT-SVIDs, `trustDomains`.',
    ),
  trustDomains: z
    .array(trustDomain)
    .max(1_000)
    .default([])
    .describe('Trust domains, each with its own authorities and its own keys.'),
})
