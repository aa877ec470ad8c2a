/** Finds out whose credentials a call carries. What the connection code uses of this folder. */
import { flatCopy } from '../../codec/latin1.ts'
import type { JwtIssuerConfig, SpiffeConfig } from '../../config/schema.ts'
import type { CredentialResult } from '../classify/classify.ts'
import type { TokenIssuerFigures, WorkerReport } from '../ipc.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import { ApiKeys } from './api-keys.ts'
import type { CallEvidence } from './call-evidence.ts'
import { JwtChecker, type JwtCounters } from './jwt.ts'
import { DEFAULT_JWT_OPTIONS, type JwtOptions } from './jwt-options.ts'
import type { ProblemLog } from './key-source.ts'
import type { CacheLimits } from './verified-cache.ts'

export interface AuthenticatorOptions {
  readonly jwt: JwtOptions
  readonly apiKeyCache: CacheLimits
}

export const DEFAULT_AUTHENTICATOR_OPTIONS: AuthenticatorOptions = {
  jwt: DEFAULT_JWT_OPTIONS,
  apiKeyCache: { maxEntries: 131_072, maxKeyBytes: 16 * 1024 * 1024 },
}

export interface AuthenticatorDeps {
  readonly directory: TenantDirectory
  readonly issuers: readonly JwtIssuerConfig[]
  readonly spiffe?: SpiffeConfig | undefined
  readonly log: ProblemLog
}

/** How long a connection goes by its memo alone: a key that left its key set stops working after this. */
const MEMO_MS = 1_000
const BEARER = 'bearer '
const API_KEY = 'apikey '

export class Authenticator {
  readonly #jwt: JwtChecker
  readonly #apiKeys: ApiKeys
  #directory: TenantDirectory
  /** Changes with everything that could make a remembered result wrong. */
  #epoch = 0
  /** Until when the result of the check that is under way may be remembered. */
  #memoUntilMs = 0

  /** Throws an `Error` where an issuer is configured twice. */
  constructor(
    deps: AuthenticatorDeps,
    options: AuthenticatorOptions = DEFAULT_AUTHENTICATOR_OPTIONS,
  ) {
    this.#directory = deps.directory
    this.#jwt = new JwtChecker(deps, options.jwt)
    this.#jwt.setIssuers(deps.issuers, deps.spiffe)
    this.#apiKeys = new ApiKeys(deps, options.apiKeyCache)
  }

  /** The snapshot in use. */
  get directory(): TenantDirectory {
    return this.#directory
  }

  setDirectory(directory: TenantDirectory): void {
    this.#epoch += 1
    this.#directory = directory
    this.#jwt.setDirectory(directory)
    this.#apiKeys.setDirectory(directory)
  }

  setIssuers(issuers: readonly JwtIssuerConfig[], spiffe?: SpiffeConfig): void {
    this.#epoch += 1
    this.#jwt.setIssuers(issuers, spiffe)
  }

  takeJwtCounters(): JwtCounters {
    return this.#jwt.takeCounters()
  }

  takeIssuerFigures(nowMs: number): TokenIssuerFigures {
    return this.#jwt.takeIssuerFigures(nowMs)
  }

  /** Which API keys were used since the last time, and how many uses were too many to be kept. */
  takeKeyUses(): Pick<WorkerReport, 'keyUses' | 'keyUsesDropped'> {
    const { uses } = this.#apiKeys
    const keyUsesDropped = uses.dropped
    uses.dropped = 0
    return { keyUses: uses.take(), keyUsesDropped }
  }

  close(): Promise<void> {
    return this.#jwt.close()
  }

  /**
   * Fills in all of `evidence` but the host: `authorization` is the value of `Authorization`, `apiKey` that of the field
   * (or query parameter) for API keys, each `''` where the call has none. Returns a promise, which never rejects, only
   * where a token must be verified; `evidence` says nothing useful until then. A call with two fields of a kind must
   * have been refused before (`credential_ambiguous`). Throws if a check with the same evidence is still under way.
   */
  check(
    evidence: CallEvidence,
    authorization: string,
    apiKey: string,
    nowMs: number,
  ): void | Promise<void> {
    if (evidence.checking) throw new Error('one evidence cannot serve two calls at once')
    evidence.resolve(this.#directory)
    if (authorization === '' && apiKey === '') {
      setResults(evidence, undefined, undefined, undefined)
      return undefined
    }
    const { memo } = evidence
    if (
      memo.epoch === this.#epoch &&
      nowMs < memo.validUntilMs &&
      authorization === memo.authorization &&
      apiKey === memo.apiKeyField
    ) {
      if (typeof memo.jwt === 'object') this.#jwt.countHit()
      setResults(evidence, memo.jwt, memo.fieldKey, memo.schemeKey)
      return undefined
    }
    this.#memoUntilMs = nowMs + MEMO_MS
    if (!hasScheme(authorization, BEARER)) {
      this.#checkKeys(evidence, authorization, apiKey, nowMs)
      this.#remember(evidence, authorization, apiKey)
      return undefined
    }
    const token = authorization.slice(BEARER.length).trim()
    const jwt = this.#jwt.check(token, nowMs, evidence.source)
    if (jwt instanceof Promise) return this.#finish(evidence, jwt, apiKey, nowMs)
    if (typeof jwt === 'object')
      this.#memoUntilMs = Math.min(this.#memoUntilMs, this.#jwt.validUntilMs)
    setResults(evidence, jwt, this.#fieldKey(apiKey, nowMs), undefined)
    this.#remember(evidence, authorization, apiKey)
    return undefined
  }

  /** The next call with this token finds it in the cache; its connection remembers it then. */
  async #finish(
    evidence: CallEvidence,
    verification: Promise<CredentialResult>,
    apiKey: string,
    nowMs: number,
  ): Promise<void> {
    evidence.checking = true
    const jwt = await verification
    evidence.checking = false
    // The directory may be another one by now; the token was mapped with that one.
    evidence.resolve(this.#directory)
    setResults(evidence, jwt, this.#fieldKey(apiKey, nowMs), undefined)
  }

  #checkKeys(evidence: CallEvidence, authorization: string, apiKey: string, nowMs: number): void {
    const isKey = hasScheme(authorization, API_KEY)
    const schemeKey = isKey
      ? this.#key(authorization.slice(API_KEY.length).trim(), nowMs)
      : undefined
    const jwt = authorization === '' || isKey ? undefined : 'foreign'
    setResults(evidence, jwt, this.#fieldKey(apiKey, nowMs), schemeKey)
  }

  #fieldKey(apiKey: string, nowMs: number): CredentialResult {
    return apiKey === '' ? undefined : this.#key(apiKey, nowMs)
  }

  /** A connection that remembers its key learns of its end in time. */
  #key(key: string, nowMs: number): CredentialResult {
    const result = this.#apiKeys.check(key, nowMs)
    this.#memoUntilMs = Math.min(this.#memoUntilMs, this.#apiKeys.validUntilMs)
    return result
  }

  /** Only what was accepted or is not ours: a refused call is not worth the copies. */
  #remember(evidence: CallEvidence, authorization: string, apiKey: string): void {
    const { memo } = evidence
    memo.epoch = -1
    if (isError(evidence.jwt) || isError(evidence.apiKey)) return
    // Calls of many tenants on one connection never find their credentials here: the copies would be for nothing.
    const fingerprint = Math.imul(fingerprintOf(authorization), 31) ^ fingerprintOf(apiKey)
    if (memo.fingerprint !== fingerprint) {
      memo.fingerprint = fingerprint
      return
    }
    const authorizationCopy = flatCopy(authorization)
    const apiKeyCopy = flatCopy(apiKey)
    if (authorizationCopy === undefined || apiKeyCopy === undefined) return
    memo.authorization = authorizationCopy
    memo.apiKeyField = apiKeyCopy
    memo.jwt = evidence.jwt
    memo.fieldKey = evidence.fieldKey
    memo.schemeKey = evidence.schemeKey
    memo.validUntilMs = this.#memoUntilMs
    memo.epoch = this.#epoch
  }
}

/** `fieldKey`: the API key in its own field; `schemeKey`: the one in `Authorization`. */
function setResults(
  evidence: CallEvidence,
  jwt: CredentialResult,
  fieldKey: CredentialResult,
  schemeKey: CredentialResult,
): void {
  evidence.jwt = jwt
  evidence.fieldKey = fieldKey
  evidence.schemeKey = schemeKey
  evidence.apiKey = sameOwner(fieldKey, schemeKey)
}

/** Two API keys are one piece of evidence if they are the same tenant's; which of two others counts is not ours to guess. */
function sameOwner(a: CredentialResult, b: CredentialResult): CredentialResult {
  if (a === undefined || a === b) return b
  if (b === undefined || isError(a)) return a
  return isError(b) ? b : 'credential_ambiguous'
}

/** Of length and end, where credentials differ; a wrong guess costs a copy and nothing else. */
function fingerprintOf(text: string): number {
  let print = text.length
  for (let at = Math.max(0, text.length - 4); at < text.length; at++)
    print = Math.imul(print, 31) + text.charCodeAt(at)
  return print
}

function isError(result: CredentialResult): boolean {
  return typeof result === 'string' && result !== 'foreign'
}

/** Schemes are compared without case (RFC 9110 section 11.1). `scheme` is in lower case and ends in a space. */
function hasScheme(authorization: string, scheme: string): boolean {
  if (authorization.length <= scheme.length) return false
  for (let i = 0; i < scheme.length; i += 1) {
    const code = authorization.charCodeAt(i)
    const lower = code >= 0x41 && code <= 0x5a ? code + 0x20 : code
    if (lower !== scheme.charCodeAt(i)) return false
  }
  return true
}
