import { sameConfig } from '../../core/same-config.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import type { IssuerIndex } from './issuer-index.ts'
import type { IssuerDeps, IssuerRules, TokenIssuer } from './token-issuer.ts'
import type { UnverifiedJwt } from './unverified-jwt.ts'

export interface LiveIssuerLimits {
  /** Issuers of which a token was good. */
  readonly maxProven: number
  /** Issuers of which none was, yet: whoever names many of them pushes out these only. */
  readonly maxUnproven: number
  /** How long one is kept without tokens. */
  readonly idleMs: number
}

/** Why issuers were closed, and how many are kept. */
export interface LiveIssuerCounters {
  opened: number
  idle: number
  full: number
  changed: number
}

const SWEEP_MS = 10_000

/**
 * The issuers that tokens come from. Nothing is made for an issuer before its first token, so that ten thousand that are
 * configured cost those in use nothing.
 */
export class LiveIssuers {
  readonly #deps: IssuerDeps
  readonly #limits: LiveIssuerLimits
  /** Both by the key of their rules. */
  readonly #proven = new Map<string, TokenIssuer>()
  readonly #unproven = new Map<string, TokenIssuer>()
  readonly #counters: LiveIssuerCounters = { opened: 0, idle: 0, full: 0, changed: 0 }
  #sweptAtMs = 0

  constructor(deps: IssuerDeps, limits: LiveIssuerLimits) {
    this.#deps = deps
    this.#limits = limits
  }

  get size(): number {
    return this.#proven.size + this.#unproven.size
  }

  /** The issuer of a token, as `index` and `directory` have it now; `undefined` where it is nobody's that we know. */
  find(
    unverified: UnverifiedJwt,
    { index, directory }: { readonly index: IssuerIndex; readonly directory: TenantDirectory },
    nowMs: number,
  ): TokenIssuer | undefined {
    const rules = index.find(unverified, directory)
    if (rules === undefined) return undefined
    const live = this.#proven.get(rules.key) ?? this.#unproven.get(rules.key)
    const same = live !== undefined && isSame(live, rules)
    if (live !== undefined && !same) this.#close(live, 'changed')
    const issuer = live !== undefined && same ? live : this.#open(rules.create(this.#deps))
    issuer.from = rules.from
    issuer.usedAtMs = nowMs
    return issuer
  }

  /** A token of `issuer` was good. */
  prove(issuer: TokenIssuer): void {
    const { key } = issuer.rules
    if (this.#unproven.get(key) !== issuer) return
    this.#unproven.delete(key)
    makeRoom(this.#proven, this.#limits.maxProven, each => this.#close(each, 'full'))
    this.#proven.set(key, issuer)
  }

  /** Closes those without tokens for long. To be called now and then. */
  sweep(nowMs: number): void {
    if (Math.abs(nowMs - this.#sweptAtMs) < SWEEP_MS) return
    this.#sweptAtMs = nowMs
    for (const live of [this.#proven, this.#unproven]) {
      for (const issuer of live.values()) {
        const idle = nowMs - issuer.usedAtMs >= this.#limits.idleMs
        if (idle && issuer.underWay === 0) this.#close(issuer, 'idle')
      }
    }
  }

  /** The counters, which start again from 0. */
  takeCounters(): LiveIssuerCounters {
    const taken = { ...this.#counters }
    Object.assign(this.#counters, { opened: 0, idle: 0, full: 0, changed: 0 })
    return taken
  }

  close(): void {
    for (const live of [this.#proven, this.#unproven]) {
      for (const issuer of live.values()) issuer.close()
      live.clear()
    }
  }

  #open(issuer: TokenIssuer): TokenIssuer {
    makeRoom(this.#unproven, this.#limits.maxUnproven, each => this.#close(each, 'full'))
    this.#unproven.set(issuer.rules.key, issuer)
    this.#counters.opened += 1
    return issuer
  }

  #close(issuer: TokenIssuer, reason: 'idle' | 'full' | 'changed'): void {
    const { key } = issuer.rules
    if (!this.#unproven.delete(key)) this.#proven.delete(key)
    this.#counters[reason] += 1
    issuer.close()
  }
}

/** The configuration of a tenant is text: a flood of tokens must not have us read it each time. */
function isSame(live: TokenIssuer, rules: IssuerRules): boolean {
  return live.from === rules.from || sameConfig(live.rules.config, rules.config)
}

/** Ends the one that was unused for longest. One with checks under way stays: these are bounded, so the map is as well. */
function makeRoom(
  live: ReadonlyMap<string, TokenIssuer>,
  max: number,
  close: (issuer: TokenIssuer) => void,
): void {
  if (live.size < max) return
  let longest: TokenIssuer | undefined
  for (const issuer of live.values()) {
    if (issuer.underWay > 0) continue
    if (longest === undefined || issuer.usedAtMs < longest.usedAtMs) longest = issuer
  }
  if (longest !== undefined) close(longest)
}
