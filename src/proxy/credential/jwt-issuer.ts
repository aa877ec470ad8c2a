/** Issuers of JWTs, known by their `iss`: those of the service, and those of one tenant. */
import { jwtVerify } from 'jose'
import type { JwtIssuerConfig, TenantJwtIssuerConfig } from '../../config/schema.ts'
import { claimAt, claimPathOf, textsOf } from '../../core/claim-path.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import type { Claims } from '../tenant/jwt-bindings.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { expiryOf, faultOf, type JwtFields } from './jwt-claims.ts'
import type { KeySet, VerificationKey } from './key-set.ts'
import type { KeySource, KeyUse } from './key-source.ts'
import type {
  Arrival,
  IssuerDeps,
  IssuerRules,
  TokenFault,
  TokenIssuer,
  VerifiedJwt,
} from './token-issuer.ts'
import type { UnverifiedJwt } from './unverified-jwt.ts'

/** Whose a verified token is. */
export type Mapping = (claims: Claims, directory: TenantDirectory) => Tenant | undefined

/** What is checked of the tokens of an issuer. */
export interface TokenChecks extends JwtFields {
  /** What `iss` must be; `undefined` where it is not looked at. */
  readonly issuer: string | undefined
  readonly jwks: string
  readonly maxStale: number
  readonly keyUse?: KeyUse
  /** What must hold beside everything that holds for JWTs of all kinds. */
  readonly fits?: (unverified: UnverifiedJwt) => boolean
}

interface Mapped {
  readonly rules: IssuerRules
  readonly owner: string
  readonly mapping: Mapping
  /** See `TokenIssuer.isSettled`; of claims that name no ids, where it is left out. */
  readonly settled?: (claims: Claims) => boolean
}

/** An issuer under `authentication.jwt`: its tokens may be any tenant's. */
export function jwtRulesOfService(config: JwtIssuerConfig): IssuerRules {
  const key = `iss ${config.issuer}`
  return {
    key,
    from: config,
    config,
    create(deps) {
      const path = claimPathOf(config.tenantClaim)
      const mapping: Mapping = (claims, directory) =>
        directory.byJwt(config.issuer, claimAt(claims, path), claims)
      const settled = (claims: Claims): boolean => !Array.isArray(claimAt(claims, path))
      return new JwtIssuer(config, { rules: this, owner: key, mapping, settled }, deps)
    },
  }
}

/**
 * An issuer of one tenant: its tokens are that tenant's or nobody's. Whoever runs it writes what they like into them, so
 * no claim can make a token another tenant's.
 */
export function jwtRulesOfTenant(tenant: Tenant, issuer: string): IssuerRules {
  const read = once(() => ownIssuerOf(tenant, issuer))
  const { id } = tenant
  return {
    // With the tenant in it: an issuer that moves to another tenant is another issuer.
    key: `iss ${issuer} of ${id}`,
    from: tenant,
    get config() {
      return read()
    },
    create(deps) {
      const config = read()
      const demanded = Object.entries(config.claims).map(
        ([name, value]) => [claimPathOf(name), value] as const,
      )
      const mapping: Mapping = (claims, directory) => {
        const owner = directory.byIssuer(issuer)
        const fits = demanded.every(([path, value]) =>
          textsOf(claimAt(claims, path)).includes(value),
        )
        return fits && owner?.id === id ? owner : undefined
      }
      return new JwtIssuer(config, { rules: this, owner: `tenant ${id}`, mapping }, deps)
    },
  }
}

/** Throws where the directory says of `tenant` what its configuration does not. */
function ownIssuerOf(tenant: Tenant, issuer: string): TenantJwtIssuerConfig {
  const own = tenant.config.jwt.find(each => each.issuer === issuer)
  if (own === undefined) throw new Error(`tenant "${tenant.id}" has no issuer ${issuer}`)
  return own
}

function once<T extends object>(read: () => T): () => T {
  let value: T | undefined
  return () => {
    value ??= read()
    return value
  }
}

/** One that signs with keys of a key set. Made by the rules of its kind. */
export class JwtIssuer implements TokenIssuer {
  readonly rules: IssuerRules
  readonly owner: string
  from: object
  closed = false
  usedAtMs = 0
  epoch = -1
  underWay = 0
  readonly #config: TokenChecks
  readonly #mapped: Mapped
  readonly #keys: KeySource
  readonly #deps: IssuerDeps

  constructor(config: TokenChecks, mapped: Mapped, deps: IssuerDeps) {
    this.rules = mapped.rules
    this.from = mapped.rules.from
    this.owner = mapped.owner
    this.#config = config
    this.#mapped = mapped
    this.#deps = deps
    this.#keys = deps.keySources.create(config.jwks, config.maxStale, config.keyUse)
  }

  close(): void {
    this.closed = true
    this.#keys.close()
  }

  currentKeys(nowMs: number): KeySet | undefined {
    return this.#keys.current(nowMs)
  }

  tenantOf(claims: Claims, directory: TenantDirectory): Tenant | undefined {
    return this.#mapped.mapping(claims, directory)
  }

  isSettled(claims: Claims): boolean {
    return this.#mapped.settled?.(claims) ?? true
  }

  fault(unverified: UnverifiedJwt, nowMs: number): TokenFault | undefined {
    const { fits } = this.#config
    if (fits?.(unverified) === false) return 'header'
    return faultOf(unverified, this.#config, nowMs)
  }

  async verify(
    token: string,
    unverified: UnverifiedJwt,
    arrival: Arrival,
  ): Promise<VerifiedJwt | TokenFault | 'unavailable'> {
    const { nowMs } = arrival
    const keys = this.#keys.current(nowMs) ?? (await this.#keys.load(nowMs))
    if (keys === undefined) return 'unavailable'
    const result = await this.#tryKeys(token, unverified, keys, arrival)
    if (result !== undefined) return result
    // Perhaps the issuer has changed its keys. The source limits how often a token can make us look.
    const newer = await this.#keys.refresh(nowMs)
    const again =
      newer === undefined || newer === keys
        ? undefined
        : await this.#tryKeys(token, unverified, newer, arrival)
    return again ?? (arrival.wrongSignatures > 0 ? 'signature' : 'key')
  }

  /** `undefined`: none of the keys has signed this. */
  async #tryKeys(
    token: string,
    { header, claims }: UnverifiedJwt,
    keys: KeySet,
    arrival: Arrival,
  ): Promise<VerifiedJwt | TokenFault | undefined> {
    const { kid } = header
    const expiresAtMs = expiryOf(claims, this.#config.clockSkew)
    if (expiresAtMs === undefined) return 'time'
    for (const key of keys.candidates(typeof kid === 'string' ? kid : undefined)) {
      // One after the other: nearly always the first one fits.
      const result = await this.#deps.signatures.run(arrival.source, () =>
        this.#tryKey(token, key, arrival),
      )
      if (result === 'good') return { claims, key, keys, expiresAtMs }
      if (result !== undefined) return result
    }
    return undefined
  }

  /** Everything once more by the library, whose word on signatures is the only one. */
  async #tryKey(
    token: string,
    key: VerificationKey,
    arrival: Arrival,
  ): Promise<'good' | TokenFault | undefined> {
    const { algorithms, issuer, audiences, clockSkew } = this.#config
    try {
      await jwtVerify(token, key.resolve, {
        algorithms,
        ...(issuer === undefined ? {} : { issuer }),
        audience: audiences,
        clockTolerance: clockSkew / 1_000,
        currentDate: new Date(arrival.nowMs),
        requiredClaims: ['exp'],
      })
      return 'good'
    } catch (error) {
      if (isWrongSignature(error)) arrival.wrongSignatures += 1
      return faultIn(error)
    }
  }
}

function isWrongSignature(error: unknown): boolean {
  return codeOf(error) === 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED'
}

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
}

/** What jose threw: `undefined` where another key may still fit. */
function faultIn(error: unknown): TokenFault | undefined {
  const code = codeOf(error)
  switch (code) {
    case 'ERR_JWT_EXPIRED':
      return 'expired'
    case 'ERR_JWKS_NO_MATCHING_KEY':
    case 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED':
      return undefined
    default:
      // Other codes of jose are about the token; what has none is about the key, such as a point that is not on its curve.
      return typeof code === 'string' && code.startsWith('ERR_J') ? 'form' : undefined
  }
}
