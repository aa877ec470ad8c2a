/**
 * JSON Web Tokens. A token is verified once and then known until it expires, its key leaves the key set, or its issuer
 * leaves the configuration: RS256 costs 27 µs, ES256 85, a lookup by the whole token under 1.
 */
import type { JwtIssuerConfig, SpiffeConfig } from '../../config/schema.ts'
import type { CredentialResult } from '../classify/classify.ts'
import { noTokenFaults, type TokenIssuerFigures } from '../ipc.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { type AdmissionRefusal, CheckAdmission, sourceOf } from './check-admission.ts'
import { IssuerIndex } from './issuer-index.ts'
import { DEFAULT_JWT_OPTIONS, type JwtOptions } from './jwt-options.ts'
import type { KeySet, VerificationKey } from './key-set.ts'
import type { ProblemLog } from './key-source.ts'
import { KeySources } from './key-sources.ts'
import { LiveIssuers } from './live-issuers.ts'
import { SignatureQueue } from './signature-queue.ts'
import {
  failureOf,
  type JwtFailure,
  type TokenFault,
  type TokenIssuer,
  type VerifiedJwt,
} from './token-issuer.ts'
import { readUnverified, type UnverifiedJwt } from './unverified-jwt.ts'
import { type CacheLimits, VerifiedCache } from './verified-cache.ts'

/** Since the last report. `hit`: known and accepted; `miss`: verified and accepted; `reject`: refused. */
export interface JwtCounters {
  hit: number
  miss: number
  reject: number
}

/** Refused tokens are remembered briefly, apart from the good ones, so that repeating one costs no signature. */
const NEGATIVE_LIMITS: CacheLimits = { maxEntries: 1_024, maxKeyBytes: 2 * 1024 * 1024 }
const NEGATIVE_MS = 5_000
/** Of a token whose tenant any change of the directory may change. */
const UNSETTLED = -1

/** A verified token. What can change is checked again at each use. */
interface Known {
  readonly issuer: TokenIssuer
  readonly key: VerificationKey
  readonly expiresAtMs: number
  /** The key set in which `key` was last seen. */
  keys: KeySet
  /** Of the configuration that `tenant` is from, and the part of it that says whose tokens are. */
  epoch: number
  rules: number
  /** `undefined`: a good token, but nobody's. */
  tenant: Tenant | undefined
}

interface Refused {
  readonly result: JwtFailure | 'foreign'
  readonly untilMs: number
  /** Of the configuration: another one may know the issuer, or other rules of it. */
  readonly epoch: number
  /** Newer keys may make the token good. */
  readonly issuer?: TokenIssuer
  readonly keys?: KeySet | undefined
}

/** A token that is being verified. */
interface Check {
  readonly token: string
  readonly unverified: UnverifiedJwt
  readonly issuer: TokenIssuer
  readonly nowMs: number
  readonly source: string
}

export class JwtChecker {
  readonly #keySources: KeySources
  readonly #live: LiveIssuers
  readonly #admission: CheckAdmission
  readonly #known: VerifiedCache<Known>
  readonly #refused = new VerifiedCache<Refused>(NEGATIVE_LIMITS)
  readonly #underWay = new Map<string, Promise<Tenant | JwtFailure>>()
  readonly #counters: JwtCounters = { hit: 0, miss: 0, reject: 0 }
  readonly #unchecked = { worker: 0, source: 0, issuer: 0, keys: 0 }
  readonly #faults = noTokenFaults()
  #index = new IssuerIndex([])
  #directory: TenantDirectory
  /** Of the configuration: another directory, or other issuers, are another one. */
  #epoch = 0
  /** The same while neither issuers nor bindings of claims change. */
  #rules = 0
  /** Of the tenant that `check` answered last without a promise: when its token expires. */
  validUntilMs = 0

  constructor(
    deps: { readonly directory: TenantDirectory; readonly log: ProblemLog },
    options: JwtOptions = DEFAULT_JWT_OPTIONS,
  ) {
    this.#directory = deps.directory
    this.#known = new VerifiedCache(options.cache)
    this.#admission = new CheckAdmission(options.underWay)
    this.#keySources = new KeySources(deps.log, options, options.fetches)
    const signatures = new SignatureQueue(options.maxSignatures)
    this.#live = new LiveIssuers({ keySources: this.#keySources, signatures }, options.issuers)
  }

  /** Issuers of tenants are looked up in it; those that changed are found out with their next token. */
  setDirectory(directory: TenantDirectory): void {
    if (directory.namesGeneration !== this.#directory.namesGeneration) this.#rules += 1
    this.#directory = directory
    this.#epoch += 1
  }

  /**
   * Those of the service, and the trust domains whose JWT-SVIDs are taken. An issuer whose configuration is unchanged keeps
   * its keys and its verified tokens. Throws for one that is there twice.
   */
  setIssuers(configs: readonly JwtIssuerConfig[], spiffe?: SpiffeConfig): void {
    this.#index = new IssuerIndex(configs, spiffe)
    this.#epoch += 1
    this.#rules += 1
  }

  /**
   * Whose token this is; a promise only where a signature or keys must be waited for. It never rejects. A token of an
   * issuer that is not configured, or text that is no JWT, is `'foreign'`. `address`: of the peer that sent it, or ''
   * where that says nothing about who did.
   */
  check(
    token: string,
    nowMs: number,
    address = '',
  ): Exclude<CredentialResult, undefined> | Promise<Tenant | JwtFailure> {
    const known = this.#known.get(token)
    if (known !== undefined) {
      const result = this.#reuse(token, known, nowMs)
      if (result !== undefined) return this.#count(result, 'hit')
    }
    const refused = this.#refused.get(token)
    if (refused !== undefined && this.#stillHolds(refused, nowMs))
      return this.#count(refused.result, 'hit')
    const joined = this.#underWay.get(token)
    if (joined !== undefined) return joined.then(result => this.#count(result, 'hit'))
    return this.#begin(token, nowMs, address)
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

  /** The figures, whose counters start again from 0. Issuers that are not used any more end here. */
  takeIssuerFigures(nowMs: number): TokenIssuerFigures {
    this.#live.sweep(nowMs)
    const { idle, full, changed } = this.#live.takeCounters()
    const unchecked = { ...this.#unchecked }
    const refused = { ...this.#faults }
    Object.assign(this.#unchecked, { worker: 0, source: 0, issuer: 0, keys: 0 })
    Object.assign(this.#faults, noTokenFaults())
    return {
      live: this.#live.size,
      closed: { idle, full, changed },
      fetches: this.#keySources.budget.takeCounters(),
      unchecked,
      refused,
      dropped: this.#known.takeDropped(),
    }
  }

  async close(): Promise<void> {
    this.#live.close()
    await this.#keySources.close()
  }

  /** A token that nothing is known of. */
  #begin(
    token: string,
    nowMs: number,
    address: string,
  ): JwtFailure | 'foreign' | Promise<Tenant | JwtFailure> {
    const unverified = readUnverified(token)
    const issuer = unverified && this.#find(unverified, nowMs)
    if (unverified === undefined || issuer === undefined) {
      const untilMs = Number.POSITIVE_INFINITY
      this.#refused.set(token, { result: 'foreign', untilMs, epoch: this.#epoch })
      return 'foreign'
    }
    const fault = issuer.fault(unverified, nowMs)
    if (fault !== undefined) {
      const result = this.#refusalFor(fault)
      const untilMs = nowMs + NEGATIVE_MS
      this.#refused.set(token, { result, untilMs, epoch: this.#epoch })
      return this.#count(result, 'miss')
    }
    const source = sourceOf(address)
    const refusal = this.#admission.enter(source, issuer.owner, nowMs)
    if (refusal !== undefined) return this.#leaveUnchecked(refusal)
    const verification = this.#verify({ token, unverified, issuer, nowMs, source })
    this.#underWay.set(token, verification)
    return verification
  }

  #find(unverified: UnverifiedJwt, nowMs: number): TokenIssuer | undefined {
    const from = { index: this.#index, directory: this.#directory }
    const issuer = this.#live.find(unverified, from, nowMs)
    if (issuer !== undefined) issuer.epoch = this.#epoch
    return issuer
  }

  /** `undefined`: must be verified again. */
  #reuse(token: string, known: Known, nowMs: number): Tenant | JwtFailure | undefined {
    const { issuer } = known
    if (known.epoch !== this.#epoch && !this.#bringUpToDate(token, known, nowMs)) return undefined
    const keys = issuer.closed ? undefined : issuer.currentKeys(nowMs)
    if (keys === undefined || !(keys === known.keys || keys.has(known.key))) {
      this.#known.delete(token)
      return undefined
    }
    known.keys = keys
    if (nowMs >= known.expiresAtMs) {
      this.#known.delete(token)
      return 'credential_expired'
    }
    issuer.usedAtMs = nowMs
    this.validUntilMs = known.expiresAtMs
    return known.tenant ?? 'credential_invalid'
  }

  /** The change was about others: the tenant, and with it an issuer of its own, is as it was. */
  #isUnchanged({ tenant, rules }: Known): boolean {
    return tenant?.current === true && rules === this.#rules
  }

  /** Whether a known token is its issuer's as the configuration has it now; `tenant` is of that one then. */
  #bringUpToDate(token: string, known: Known, nowMs: number): boolean {
    if (this.#isUnchanged(known)) {
      known.epoch = this.#epoch
      return true
    }
    // Its signature was checked, so its claims can be read from it again: that is cheaper than to keep them.
    const { issuer } = known
    const unverified = readUnverified(token)
    // Whoever asked for this issuer first under this configuration has looked it up.
    const same =
      issuer.epoch === this.#epoch || (unverified && this.#find(unverified, nowMs)) === issuer
    if (unverified === undefined || !same || issuer.closed) {
      this.#known.delete(token)
      return false
    }
    known.tenant = issuer.tenantOf(unverified.claims, this.#directory)
    known.epoch = this.#epoch
    known.rules = issuer.isSettled(unverified.claims) ? this.#rules : UNSETTLED
    return true
  }

  async #verify(check: Check): Promise<Tenant | JwtFailure> {
    const { token, unverified, issuer, nowMs, source } = check
    const arrival = { nowMs, source, wrongSignatures: 0 }
    issuer.underWay += 1
    try {
      const verified = await issuer.verify(token, unverified, arrival)
      // The configuration may be another one by now: what was verified by rules that do not hold is worth nothing.
      const stale =
        issuer.closed || (issuer.epoch !== this.#epoch && this.#find(unverified, nowMs) !== issuer)
      if (stale || verified === 'unavailable') return this.#leaveUnchecked('keys')
      if (typeof verified === 'string') return this.#refuse(check, verified)
      return this.#count(this.#accept(token, issuer, verified), 'miss')
    } finally {
      this.#underWay.delete(token)
      issuer.underWay -= 1
      this.#admission.leave(source, issuer.owner)
      this.#admission.failed(source, arrival.wrongSignatures, nowMs)
    }
  }

  #accept(token: string, issuer: TokenIssuer, verified: VerifiedJwt): Tenant | JwtFailure {
    const { key, keys, expiresAtMs, claims } = verified
    const tenant = issuer.tenantOf(claims, this.#directory)
    this.#live.prove(issuer)
    const epoch = this.#epoch
    const rules = issuer.isSettled(claims) ? this.#rules : UNSETTLED
    this.#known.set(token, { issuer, key, keys, expiresAtMs, epoch, rules, tenant })
    return tenant ?? this.#refusalFor('tenant')
  }

  #refuse({ token, issuer, nowMs }: Check, fault: TokenFault): JwtFailure {
    const result = this.#refusalFor(fault)
    const keys = issuer.currentKeys(nowMs)
    const untilMs = nowMs + NEGATIVE_MS
    this.#refused.set(token, { result, untilMs, epoch: this.#epoch, issuer, keys })
    return this.#count(result, 'miss')
  }

  #stillHolds({ untilMs, epoch, issuer, keys }: Refused, nowMs: number): boolean {
    if (nowMs >= untilMs || epoch !== this.#epoch) return false
    return issuer === undefined || (!issuer.closed && issuer.currentKeys(nowMs) === keys)
  }

  #refusalFor(fault: TokenFault): JwtFailure {
    this.#faults[fault] += 1
    return failureOf(fault)
  }

  #leaveUnchecked(reason: AdmissionRefusal | 'keys'): JwtFailure {
    this.#unchecked[reason === 'suspect' ? 'source' : reason] += 1
    const result = reason === 'suspect' ? 'source_credentials' : 'credential_check_unavailable'
    return this.#count(result, 'miss')
  }

  #count<R extends Tenant | JwtFailure | 'foreign'>(result: R, accepted: 'hit' | 'miss'): R {
    if (typeof result === 'object') this.#counters[accepted] += 1
    else if (result !== 'foreign') this.#counters.reject += 1
    return result
  }
}
