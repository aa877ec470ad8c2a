/** Issuers, their keys, and tokens of theirs, for attacks. */

import { assemble, type Signer, signer } from '../forged-token.ts'
import { type SigningKey, signingKey } from '../token-issuer.ts'

export const ISSUER = 'https://login.example.com'
export const OTHER = 'https://other.example.com'
/** Of globex alone. */
export const OWN = 'https://login.globex.example'
export const NOW: number = Math.floor(Date.now() / 1_000)

export const ec: SigningKey = signingKey('ec')
export const rsa: SigningKey = signingKey('rsa', 'RS256')
export const ed: SigningKey = signingKey('ed', 'EdDSA')
/** With the same kid as `ec`, of another issuer. */
export const ofOther: SigningKey = signingKey('ec')
/** With the same kid as `ec`, of globex. */
export const ofGlobex: SigningKey = signingKey('ec')
export const evil: SigningKey = signingKey('ec')

interface Parts {
  readonly key?: SigningKey
  readonly header?: Record<string, unknown>
  readonly claims?: Record<string, unknown>
  readonly signer?: Signer
}

export const claimsWith = (claims: Record<string, unknown> = {}): Record<string, unknown> => ({
  iss: ISSUER,
  aud: 'orders',
  exp: NOW + 3_600,
  tenant: 'acme',
  ...claims,
})

/** A good token of acme, but for what `parts` says. */
export function token({
  key = ec,
  header = {},
  claims = {},
  signer: sign = signer(key),
}: Parts = {}): string {
  const head = JSON.stringify({ alg: key.alg, kid: key.kid, typ: 'JWT', ...header })
  return assemble(head, JSON.stringify(claimsWith(claims)), sign)
}

/** A right signature over whatever stands before it. */
export const withHeader = (header: string | Buffer): string =>
  assemble(header, JSON.stringify(claimsWith()), signer(ec))
export const withPayload = (payload: string | Buffer): string =>
  assemble('{"alg":"ES256","kid":"ec"}', payload, signer(ec))

/** The payload of a good token. */
export const payloadText: string = JSON.stringify(claimsWith())

export interface Attack {
  readonly tokens: readonly string[]
  /** What all of them are refused with. */
  readonly refusal?: string
}

export type Attacks = Readonly<Record<string, Attack>>
