/**
 * JSON Web Tokens. A token is verified once and then known until it expires, its key leaves the key set, or its issuer
 * leaves the configuration: RS256 costs 27 µs, ES256 85, a lookup by the whole token under 1.
 */
import type { JwtIssuerConfig } from '../../config/schema.ts'
import { sameConfig } from '../../core/same-config.ts'
import type { CredentialResult } from '../classify/classify.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import type { Claims } from '../tenant/jwt-bindings.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { createKeySource } from './jwks.ts'
import { type JwtFailure, JwtIssuer, type VerifiedJwt } from './jwt-issuer.ts'
import type { KeySet, VerificationKey } from './key-set.ts'
import type { KeySourceOptions, ProblemLog } from './key-source.ts'
import { readUnverified, type UnverifiedJwt } from './unverified-jwt.ts'
import { type CacheLimits, VerifiedCache } from './verified-cache.ts'

export interface JwtOptions extends KeySourceOptions {
  readonly cache: CacheLimits
  /** Verifications under way at once. Each holds a token and a place in the queue of the crypto threads. */
  readonly maxUnderWay: number
}

export const DEFAULT_JWT_OPTIONS: JwtOptions = {
  cache: { maxEntries: 65_536, maxKeyBytes: 64 * 1024 * 1024 },
  maxUnderWay: 256,
  refreshIntervalMs: 30_000,
  retryMs: 5_000,
  fetchTimeoutMs: 5_000,
}

/** Since the last report. `hit`: known and accepted; `miss`: verified and accepted; `reject`: refused. */
export interface JwtCounters {
  hit: number
  miss: number
  reject: number
}

/** Refused tokens are remembered briefly, apart from the good ones, so that repeating one costs no signature. */
const NEGATIVE_LIMITS: CacheLimits = { maxEntries: 1_024, maxKeyBytes: 2 * 1024 * 1024 }
const NEGATIVE_MS = 5_000

/** A verified token. What can change is checked again at each use. */
interface Known {
  readonly issuer: JwtIssuer
  readonly key: VerificationKey
  readonly expiresAtMs: number
  /** The key set in which `key` was last seen. */
  keys: KeySet
  /** Of the directory that `tenant` is from. */
  generation: number
  /** `undefined`: a good token, but nobody's. */
  tenant: Tenant | undefined
}

interface Refused {
  readonly result: JwtFailure | 'foreign'
  readonly untilMs: number
  /** Newer keys may make the token good. */
  readonly issuer?: JwtIssuer
  readonly keys?: KeySet | undefined
}

export class JwtChecker {
  readonly #log: ProblemLog
  readonly #options: JwtOptions
  readonly #known: VerifiedCache<Known>
  readonly #refused = new VerifiedCache<Refused>(NEGATIVE_LIMITS)
  readonly #underWay = new Map<string, Promise<Tenant | JwtFailure>>()
  readonly #counters: JwtCounters = { hit: 0, miss: 0, reject: 0 }
  #issuers: ReadonlyMap<string, JwtIssuer> = new Map()
  #directory: TenantDirectory
  /** Of the tenant that `check` answered last without a promise: when its token expires. */
  validUntilMs = 0

  constructor(
    deps: { readonly directory: TenantDirectory; readonly log: ProblemLog },
    options: JwtOptions,
  ) {
    this.#directory = deps.directory
    this.#log = deps.log
    this.#options = options
    this.#known = new VerifiedCache(options.cache)
  }

  setDirectory(directory: TenantDirectory): void {
    this.#directory = directory
  }

  /** An issuer whose configuration is unchanged keeps its keys and its verified tokens. Throws for one that is there twice. */
  setIssuers(configs: readonly JwtIssuerConfig[]): void {
    const issuers = new Map<string, JwtIssuer>()
    for (const config of configs) {
      if (issuers.has(config.issuer)) throw new Error(`issuer ${config.issuer} is configured twice`)
      const known = this.#issuers.get(config.issuer)
      const same = known !== undefined && sameConfig(known.config, config)
      issuers.set(config.issuer, same ? known : this.#createIssuer(config))
    }
    const previous = this.#issuers
    this.#issuers = issuers
    this.#refused.clear()
    for (const [name, issuer] of previous) if (issuers.get(name) !== issuer) void issuer.close()
  }

  /**
   * Whose token this is; a promise only where a signature or keys must be waited for. It never rejects. A token of an
   * issuer that is not configured, or text that is no JWT, is `'foreign'`.
   */
  check(
    token: string,
    nowMs: number,
  ): Exclude<CredentialResult, undefined> | Promise<Tenant | JwtFailure> {
    const known = this.#known.get(token)
    if (known !== undefined) {
      const result = this.#reuse(token, known, nowMs)
      if (result !== undefined) return this.#count(result, 'hit')
    }
    const refused = this.#refused.get(token)
    if (refused !== undefined && stillHolds(refused, nowMs))
      return this.#count(refused.result, 'hit')
    const joined = this.#underWay.get(token)
    if (joined !== undefined) return joined.then(result => this.#count(result, 'hit'))
    if (this.#underWay.size >= this.#options.maxUnderWay) {
      return this.#count('credential_check_unavailable', 'miss')
    }
    const unverified = readUnverified(token)
    const issuer = unverified && this.#issuers.get(unverified.issuer)
    if (issuer === undefined) {
      this.#refused.set(token, { result: 'foreign', untilMs: Number.POSITIVE_INFINITY })
      return 'foreign'
    }
    const verification = this.#verify(token, issuer, unverified as UnverifiedJwt, nowMs)
    this.#underWay.set(token, verification)
    return verification
  }

  /** One more call with a token that its connection remembers. */
  countHit(): void {
    this.#counters.hit += 1
  }

  /** The counters, which start again from 0. */
  takeCounters(): JwtCounters {
    const taken = { ...this.#counters }
    Object.assign(this.#counters, { hit: 0, miss: 0, reject: 0 })
    return taken
  }

  async close(): Promise<void> {
    await Promise.all([...this.#issuers.values()].map(issuer => issuer.close()))
  }

  #createIssuer(config: JwtIssuerConfig): JwtIssuer {
    return new JwtIssuer(config, createKeySource(config.jwks, this.#log, this.#options))
  }

  /** `undefined`: must be verified again. */
  #reuse(token: string, known: Known, nowMs: number): Tenant | JwtFailure | undefined {
    const keys = known.issuer.closed ? undefined : known.issuer.source.current(nowMs)
    if (keys === undefined || !(keys === known.keys || keys.has(known.key))) {
      this.#known.delete(token)
      return undefined
    }
    known.keys = keys
    if (nowMs >= known.expiresAtMs) {
      this.#known.delete(token)
      return 'credential_expired'
    }
    if (known.generation !== this.#directory.generation) {
      // Its signature was checked, so its claims can be read from it again: that is cheaper than to keep them.
      known.tenant = this.#tenantOf(known.issuer, readUnverified(token)?.claims ?? {})
      known.generation = this.#directory.generation
    }
    this.validUntilMs = known.expiresAtMs
    return known.tenant ?? 'credential_invalid'
  }

  async #verify(
    token: string,
    issuer: JwtIssuer,
    unverified: UnverifiedJwt,
    nowMs: number,
  ): Promise<Tenant | JwtFailure> {
    try {
      const verified = await issuer.verify(token, unverified, nowMs)
      if (issuer.closed) return this.#count('credential_check_unavailable', 'miss')
      if (typeof verified === 'string') return this.#refuse(token, issuer, verified, nowMs)
      return this.#count(this.#accept(token, issuer, verified), 'miss')
    } finally {
      this.#underWay.delete(token)
    }
  }

  #accept(token: string, issuer: JwtIssuer, verified: VerifiedJwt): Tenant | JwtFailure {
    const { key, keys, expiresAtMs, claims } = verified
    const tenant = this.#tenantOf(issuer, claims)
    const { generation } = this.#directory
    this.#known.set(token, { issuer, key, keys, expiresAtMs, generation, tenant })
    return tenant ?? 'credential_invalid'
  }

  #refuse(token: string, issuer: JwtIssuer, result: JwtFailure, nowMs: number): JwtFailure {
    if (result !== 'credential_check_unavailable') {
      const keys = issuer.source.current(nowMs)
      this.#refused.set(token, { result, untilMs: nowMs + NEGATIVE_MS, issuer, keys })
    }
    return this.#count(result, 'miss')
  }

  #tenantOf(issuer: JwtIssuer, claims: Claims): Tenant | undefined {
    const { issuer: name, tenantClaim } = issuer.config
    const value = Object.hasOwn(claims, tenantClaim) ? claims[tenantClaim] : undefined
    return this.#directory.byJwt(name, value, claims)
  }

  #count<R extends Tenant | JwtFailure | 'foreign'>(result: R, accepted: 'hit' | 'miss'): R {
    if (typeof result === 'object') this.#counters[accepted] += 1
    else if (result !== 'foreign') this.#counters.reject += 1
    return result
  }
}

function stillHolds({ untilMs, issuer, keys }: Refused, nowMs: number): boolean {
  if (nowMs >= untilMs) return false
  return issuer === undefined || (!issuer.closed && issuer.source.current(nowMs) === keys)
}
