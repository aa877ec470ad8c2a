import { jwtVerify } from 'jose'
import type { JwtIssuerConfig } from '../../config/schema.ts'
import type { Claims } from '../tenant/jwt-bindings.ts'
import type { KeySet, VerificationKey } from './key-set.ts'
import type { KeySource } from './key-source.ts'
import type { UnverifiedJwt } from './unverified-jwt.ts'

export interface VerifiedJwt {
  readonly claims: Claims
  /** The key that it is signed with, and the key set that this was found in. */
  readonly key: VerificationKey
  readonly keys: KeySet
  readonly expiresAtMs: number
}

export type JwtFailure =
  | 'credential_invalid'
  | 'credential_expired'
  | 'credential_check_unavailable'

/** One issuer of tokens: its rules and its keys. Owns the key source. */
export class JwtIssuer {
  readonly config: JwtIssuerConfig
  readonly source: KeySource
  /** The configuration does not have it any more: what was verified for it is void. */
  closed = false

  constructor(config: JwtIssuerConfig, source: KeySource) {
    this.config = config
    this.source = source
  }

  async close(): Promise<void> {
    this.closed = true
    await this.source.close()
  }

  /** Checks everything about `token`. Never rejects. */
  async verify(
    token: string,
    unverified: UnverifiedJwt,
    nowMs: number,
  ): Promise<VerifiedJwt | JwtFailure> {
    const { alg, kid } = unverified.header
    const algorithms: readonly unknown[] = this.config.algorithms
    if (unverified.ambiguous || !algorithms.includes(alg)) return 'credential_invalid'
    if (kid !== undefined && typeof kid !== 'string') return 'credential_invalid'
    const keys = this.source.current(nowMs) ?? (await this.source.load(nowMs))
    if (keys === undefined) return 'credential_check_unavailable'
    const result = await this.#tryKeys(token, keys, kid, nowMs)
    if (result !== undefined) return result
    // Perhaps the issuer has changed its keys. The source limits how often a token can make us look.
    const newer = await this.source.refresh(nowMs)
    if (newer === undefined || newer === keys) return 'credential_invalid'
    return (await this.#tryKeys(token, newer, kid, nowMs)) ?? 'credential_invalid'
  }

  /** `undefined`: none of the keys has signed this. */
  async #tryKeys(
    token: string,
    keys: KeySet,
    kid: string | undefined,
    nowMs: number,
  ): Promise<VerifiedJwt | JwtFailure | undefined> {
    for (const key of keys.candidates(kid)) {
      // One after the other: nearly always the first one fits.
      const result = await this.#tryKey(token, key, nowMs)
      if (typeof result === 'string') return result
      if (result === undefined) continue
      const exp = result['exp']
      // `1e999` is valid JSON for a number that never comes.
      if (typeof exp !== 'number' || !Number.isFinite(exp)) return 'credential_invalid'
      return { claims: result, key, keys, expiresAtMs: exp * 1_000 + this.config.clockSkew }
    }
    return undefined
  }

  async #tryKey(
    token: string,
    key: VerificationKey,
    nowMs: number,
  ): Promise<Claims | JwtFailure | undefined> {
    const { algorithms, issuer, audiences, clockSkew } = this.config
    try {
      const { payload } = await jwtVerify(token, key.resolve, {
        algorithms,
        issuer,
        audience: audiences,
        clockTolerance: clockSkew / 1_000,
        currentDate: new Date(nowMs),
        requiredClaims: ['exp'],
      })
      return payload
    } catch (error) {
      return failureOf(error)
    }
  }
}

/** What jose threw: `undefined` where another key may still fit. */
function failureOf(error: unknown): JwtFailure | undefined {
  const code =
    typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
  switch (code) {
    case 'ERR_JWT_EXPIRED':
      return 'credential_expired'
    case 'ERR_JWKS_NO_MATCHING_KEY':
    case 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED':
      return undefined
    default:
      // Other codes of jose are about the token; what has none is about the key, such as a point that is not on its curve.
      return typeof code === 'string' && code.startsWith('ERR_J') ? 'credential_invalid' : undefined
  }
}
