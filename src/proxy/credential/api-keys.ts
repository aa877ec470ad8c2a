/** API keys: a key is known by its SHA-256 alone, and the configuration holds nothing else. */
import { hash } from 'node:crypto'
import { API_KEY_PREFIX, tenantOfApiKey } from '../../core/api-key.ts'
import type { CredentialResult } from '../classify/classify.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { KeyUses, KnownKey } from './key-uses.ts'
import { type CacheLimits, VerifiedCache } from './verified-cache.ts'

/** Keys are short. What is longer is not looked at, so that nobody has us hash whole request heads. */
const MAX_KEY_CHARS = 1_024

/** Unknown keys have a cache of their own: whoever sends many of them cannot push valid keys out of the other. */
const NEGATIVE_LIMITS: CacheLimits = { maxEntries: 1_024, maxKeyBytes: 128 * 1024 }

/**
 * A key is looked at once and remembered. Whose it is changes only with its tenant, so that a new directory leaves all that is
 * known of others alone; keys that nobody had may be somebody's now.
 */
export class ApiKeys {
  /** Which keys were used when. */
  readonly uses = new KeyUses()
  #directory: TenantDirectory
  #validUntilMs = Number.POSITIVE_INFINITY
  readonly #known: VerifiedCache<KnownKey>
  readonly #unknown = new VerifiedCache<'credential_invalid' | 'foreign'>(NEGATIVE_LIMITS)

  constructor(deps: { readonly directory: TenantDirectory }, limits: CacheLimits) {
    this.#directory = deps.directory
    this.#known = new VerifiedCache(limits)
  }

  /** Until when the result of the last check holds, unless it is an error or the directory changes. */
  get validUntilMs(): number {
    return this.#validUntilMs
  }

  setDirectory(directory: TenantDirectory): void {
    this.#directory = directory
    this.#unknown.clear()
  }

  /**
   * Whose key this is. A digest in the directory decides; a key in our format must also name the tenant that has its
   * digest. Of keys that nobody owns, one that begins as ours is invalid (mistyped or revoked: it is nearly a secret, so
   * it must not reach a deployment either); any other is foreign. A key that begins as ours and is none goes by its form
   * and checksum alone: it is not hashed, not looked up in the directory, and takes no room in a cache.
   */
  check(key: string, nowMs: number): Exclude<CredentialResult, undefined> {
    const known = key.length <= MAX_KEY_CHARS ? this.#known.get(key) : undefined
    if (known?.tenant.current === true) return this.#use(known, nowMs)
    if (known !== undefined) this.#known.delete(key)
    this.#validUntilMs = Number.POSITIVE_INFINITY
    const ours = key.startsWith(API_KEY_PREFIX)
    const named = ours ? tenantOfApiKey(key) : undefined
    if (ours && named === undefined) return 'credential_invalid'
    if (key.length > MAX_KEY_CHARS) return 'foreign'
    const refused = this.#unknown.get(key)
    if (refused !== undefined) return refused
    const found = this.#lookup(key)
    if (found !== undefined && (named === undefined || named === found.tenant.id)) {
      this.#known.set(key, found)
      return this.#use(found, nowMs)
    }
    const result = ours ? 'credential_invalid' : 'foreign'
    this.#unknown.set(key, result)
    return result
  }

  #use(key: KnownKey, nowMs: number): Tenant | 'credential_expired' {
    if (nowMs >= key.expiresMs) return 'credential_expired'
    this.#validUntilMs = key.expiresMs
    this.uses.mark(key, nowMs)
    return key.tenant
  }

  #lookup(key: string): KnownKey | undefined {
    // The digest is of the bytes as they were sent: a head is decoded as Latin-1. Other text would be folded into it, so
    // that another key could have the same bytes.
    const bytes = Buffer.from(key, 'latin1')
    if (bytes.toString('latin1') !== key) return undefined
    const digest = hash('sha256', bytes, 'hex')
    const tenant = this.#directory.byApiKeyDigest(digest)
    return tenant && new KnownKey(tenant, digest, expiryOf(tenant, digest))
  }
}

/** Only a key that is new to this worker comes here, so the directory need not hold it a second time. */
function expiryOf({ config }: Tenant, digest: string): number {
  for (const credential of config.credentials) {
    if (!('apiKey' in credential) || !credential.apiKey.endsWith(digest)) continue
    const { expires } = credential
    return expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(expires)
  }
  return Number.POSITIVE_INFINITY
}
