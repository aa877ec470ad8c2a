/** API keys: a key is known by its SHA-256 alone, and the configuration holds nothing else. */
import { hash } from 'node:crypto'
import type { CredentialResult } from '../classify/classify.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { type CacheLimits, VerifiedCache } from './verified-cache.ts'

/** Keys are short. What is longer is not looked at, so that nobody has us hash whole request heads. */
const MAX_KEY_CHARS = 1_024

/** What `amt key` makes begins so. */
const OUR_PREFIX = 'amt_'

/** Unknown keys have a cache of their own: whoever sends many of them cannot push valid keys out of the other. */
const NEGATIVE_LIMITS: CacheLimits = { maxEntries: 1_024, maxKeyBytes: 128 * 1024 }

/** A SHA-256 of a key takes 0.7 µs, so the cache buys little a call, and a new directory may simply empty it. */
export class ApiKeys {
  #directory: TenantDirectory
  readonly #known: VerifiedCache<Tenant>
  readonly #unknown = new VerifiedCache<'credential_invalid' | 'foreign'>(NEGATIVE_LIMITS)

  constructor(deps: { readonly directory: TenantDirectory }, limits: CacheLimits) {
    this.#directory = deps.directory
    this.#known = new VerifiedCache(limits)
  }

  setDirectory(directory: TenantDirectory): void {
    this.#directory = directory
    this.#known.clear()
    this.#unknown.clear()
  }

  /**
   * Whose key this is. A digest in the directory decides, whatever the key looks like. Of keys that nobody owns, one
   * that begins as ours is invalid (mistyped or revoked: it is nearly a secret, so it must not reach a deployment
   * either); any other is foreign. The checksum in our keys is not looked at: it costs more than the digest.
   */
  check(key: string): Exclude<CredentialResult, undefined> {
    if (key.length > MAX_KEY_CHARS)
      return key.startsWith(OUR_PREFIX) ? 'credential_invalid' : 'foreign'
    const cached = this.#known.get(key) ?? this.#unknown.get(key)
    if (cached !== undefined) return cached
    const tenant = this.#lookup(key)
    if (tenant !== undefined) {
      this.#known.set(key, tenant)
      return tenant
    }
    const result = key.startsWith(OUR_PREFIX) ? 'credential_invalid' : 'foreign'
    this.#unknown.set(key, result)
    return result
  }

  #lookup(key: string): Tenant | undefined {
    // The digest is of the bytes as they were sent: a head is decoded as Latin-1. Other text would be folded into it, so
    // that another key could have the same bytes.
    const bytes = Buffer.from(key, 'latin1')
    return bytes.toString('latin1') === key
      ? this.#directory.byApiKeyDigest(hash('sha256', bytes, 'hex'))
      : undefined
  }
}
