/**
 * Where an issuer's keys come from: a file, or HTTP. Nothing happens without calls: there is no timer, keys are looked
 * after when somebody needs them. One source serves one issuer and is closed by whoever made it.
 */
import { redactUrl } from '../../config/redact.ts'
import { type JWT_SVID_USE, KeySet } from './key-set.ts'

/** Which keys of a set count, where not all do: see `KeySet.parse`. */
export type KeyUse = typeof JWT_SVID_USE | undefined

/** `nowMs` is the time of the call everywhere, so that a test can move it. */
export interface KeySource {
  /** The keys to use now, or `undefined` where the caller has to wait for `load`. */
  current(nowMs: number): KeySet | undefined
  /** The keys once they are there, or `undefined` where they cannot be had. Never rejects. */
  load(nowMs: number): Promise<KeySet | undefined>
  /** For a token that no key fits: looks for newer keys, but not each time it is asked. Never rejects. */
  refresh(nowMs: number): Promise<KeySet | undefined>
  close(): void
}

/** A pino logger fits. */
export interface ProblemLog {
  warn(fields: Record<string, unknown>, message: string): void
}

export interface KeySourceOptions {
  /** Least time between two fetches that tokens with unknown keys cause. */
  readonly refreshIntervalMs: number
  /** Least time from a fetch that failed to the next one. */
  readonly retryMs: number
  /** For a whole fetch. */
  readonly fetchTimeoutMs: number
}

/** Of one key set document. */
export const MAX_JWKS_BYTES: number = 1024 * 1024
const LOG_INTERVAL_MS = 60_000

/** The keys of a source, and what is to be done with text that should replace them. */
export class KeyHolder {
  keys: KeySet | undefined = undefined
  readonly #location: string
  readonly #log: ProblemLog
  readonly #use: KeyUse
  #text: string | undefined = undefined
  #loggedAtMs = Number.NEGATIVE_INFINITY

  constructor(location: string, log: ProblemLog, use?: KeyUse) {
    this.#location = redactUrl(location)
    this.#log = log
    this.#use = use
  }

  /** Returns whether `text` is a key set. Text that is none changes nothing; the same text keeps the same `KeySet`. */
  replace(text: string, nowMs: number): boolean {
    if (text === this.#text) return true
    const parsed = KeySet.parse(text, this.keys, this.#use)
    if (typeof parsed === 'string') {
      this.problem(`the key set ${parsed}`, nowMs)
      return false
    }
    this.keys = parsed
    this.#text = text
    return true
  }

  /** Once a minute at most: calls decide how often it is tried. */
  problem(error: unknown, nowMs: number): void {
    if (nowMs - this.#loggedAtMs < LOG_INTERVAL_MS) return
    this.#loggedAtMs = nowMs
    const reason = error instanceof Error ? error.message : String(error)
    const fields = { jwks: this.#location, reason, keysInUse: this.keys?.size ?? 0 }
    this.#log.warn(fields, 'keys of a token issuer could not be read')
  }
}
