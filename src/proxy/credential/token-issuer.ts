/**
 * What the checker of tokens needs of an issuer, whatever kind it is: JWTs of an `iss`, or SVIDs of a trust domain. The
 * configuration is asked for its rules with each token that is not known (`IssuerRules`); only an issuer that tokens come
 * from is made and kept (`TokenIssuer`).
 */

import type { TokenFaults } from '../ipc.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import type { Claims } from '../tenant/jwt-bindings.ts'
import type { Tenant } from '../tenant/tenant.ts'
import type { KeySet, VerificationKey } from './key-set.ts'
import type { KeySources } from './key-sources.ts'
import type { SignatureQueue } from './signature-queue.ts'
import type { UnverifiedJwt } from './unverified-jwt.ts'

/** What a call is refused with. */
export type JwtFailure =
  | 'credential_invalid'
  | 'credential_expired'
  | 'credential_check_unavailable'
  | 'source_credentials'

/** What is wrong with a token. Callers are not told; metrics are. */
export type TokenFault = keyof TokenFaults

export function failureOf(fault: TokenFault): JwtFailure {
  return fault === 'expired' ? 'credential_expired' : 'credential_invalid'
}

export interface VerifiedJwt {
  readonly claims: Claims
  /** The key that it is signed with, and the key set that this was found in. */
  readonly key: VerificationKey
  readonly keys: KeySet
  readonly expiresAtMs: number
}

/** When a token came, and from where: the key of `sourceOf`. */
export interface Arrival {
  readonly nowMs: number
  readonly source: string
  /** Signatures that were wrong; the issuer counts them. */
  wrongSignatures: number
}

/** Where all issuers of a worker get their keys, and where their signatures are checked. */
export interface IssuerDeps {
  readonly keySources: KeySources
  readonly signatures: SignatureQueue
}

/** What the configuration says of one issuer. Cheap to make, holds nothing. */
export interface IssuerRules {
  /** Names the issuer among all kinds. */
  readonly key: string
  /** What of the configuration it is from: while that is the same object, `config` says the same and is not asked for. */
  readonly from: object
  /** Two rules with the same key whose `config` says the same are the same issuer, see `sameConfig`. May have to be read. */
  readonly config: unknown
  create(deps: IssuerDeps): TokenIssuer
}

/** An issuer whose tokens come. Owns its keys; closed by `LiveIssuers`. */
export interface TokenIssuer {
  readonly rules: IssuerRules
  /** `from` of the rules by which it was last found. */
  from: object
  /** Whose checks are counted together, so that one cannot take the places of the others: an issuer, or a tenant. */
  readonly owner: string
  /** What was verified for it is void. */
  readonly closed: boolean
  /** Of the last token. */
  usedAtMs: number
  /** Of the configuration in which `rules` were last found to hold; the checker's. */
  epoch: number
  /** Checks under way: it is not closed to make room then. */
  underWay: number
  /** What is wrong with a token whatever its signature is: costs next to nothing, asks for no keys. */
  fault(unverified: UnverifiedJwt, nowMs: number): TokenFault | undefined
  /** Checks the signature of a token that has no `fault`, with keys that may have to be fetched. Never rejects. `'unavailable'`: without keys. */
  verify(
    token: string,
    unverified: UnverifiedJwt,
    arrival: Arrival,
  ): Promise<VerifiedJwt | TokenFault | 'unavailable'>
  /** The keys to go by now; `undefined` where there are none yet. */
  currentKeys(nowMs: number): KeySet | undefined
  /**
   * Whether these claims lead to the same tenant until that tenant, a binding, or an issuer changes. Not where they name
   * several ids: another of them may be a tenant's one day.
   */
  isSettled(claims: Claims): boolean
  /** Whose a verified token is. */
  tenantOf(claims: Claims, directory: TenantDirectory): Tenant | undefined
  close(): void
}
