/** JSON Web Key Sets (RFC 7517): from text to keys that can verify, and nothing else. */
import { createLocalJWKSet, type JWK } from 'jose'

/** Only what describes a public key is taken over. */
const MEMBERS = ['kty', 'n', 'e', 'crv', 'x', 'y', 'kid', 'alg', 'use', 'key_ops', 'ext'] as const
/** `oct` is missing on purpose: whoever can read a symmetric key out of a key set can sign with it. */
const KEY_TYPES: readonly unknown[] = ['RSA', 'EC', 'OKP']
const MAX_KEYS = 1_000
/** A token without `kid` is tried against so many keys. Each costs a verification, and the sender chooses to send none. */
const MAX_TRIALS = 8

/** In the key set of a SPIFFE trust domain: keys with this use, and no others, sign JWT-SVIDs. */
export const JWT_SVID_USE = 'jwt-svid'

/** One key. The object stays the same across refreshes for as long as the issuer publishes the same key. */
export interface VerificationKey {
  readonly kid: string | undefined
  /** Key for `jwtVerify`. Throws `JWKSNoMatchingKey` where `alg`, `use`, `key_ops` or curve do not fit the header. */
  readonly resolve: ReturnType<typeof createLocalJWKSet>
}

export class KeySet {
  readonly #byText: ReadonlyMap<string, VerificationKey>
  readonly #keys: ReadonlySet<VerificationKey>
  readonly #byKid = new Map<string, VerificationKey[]>()
  readonly #firstKeys: readonly VerificationKey[]

  private constructor(byText: ReadonlyMap<string, VerificationKey>) {
    this.#byText = byText
    this.#keys = new Set(byText.values())
    this.#firstKeys = [...this.#keys].slice(0, MAX_TRIALS)
    for (const key of this.#keys) {
      if (key.kid === undefined) continue
      const same = this.#byKid.get(key.kid)
      if (same === undefined) this.#byKid.set(key.kid, [key])
      else if (same.length < MAX_TRIALS) same.push(key)
    }
  }

  /**
   * Reads a JWKS document. Keys that cannot be used (symmetric or private, of an unknown type) are left out, as RFC 7517
   * section 5 asks. Keys that `previous` has as well are taken from it. Returns what is wrong where it is no key set. With
   * `use`, only keys that are for it count.
   */
  static parse(text: string, previous?: KeySet, use?: typeof JWT_SVID_USE): KeySet | string {
    let document: unknown
    try {
      document = JSON.parse(text)
    } catch {
      return 'is not JSON'
    }
    const keys = isRecord(document) ? document['keys'] : undefined
    if (!Array.isArray(keys)) return 'has no array "keys"'
    if (keys.length > MAX_KEYS) return `has ${keys.length} keys, more than ${MAX_KEYS}`
    const known = previous === undefined ? undefined : previous.#byText
    const byText = new Map<string, VerificationKey>()
    for (const candidate of keys as readonly unknown[]) {
      const jwk = use === undefined ? publicKeyOf(candidate) : keyForSvids(candidate)
      if (jwk === undefined) continue
      const id = JSON.stringify(jwk)
      byText.set(id, known?.get(id) ?? verificationKey(jwk))
    }
    return new KeySet(byText)
  }

  get size(): number {
    return this.#keys.size
  }

  has(key: VerificationKey): boolean {
    return this.#keys.has(key)
  }

  /** The keys that a token with this `kid` may be signed with, at most a handful. A key without `kid` fits none. */
  candidates(kid: string | undefined): readonly VerificationKey[] {
    return kid === undefined ? this.#firstKeys : (this.#byKid.get(kid) ?? [])
  }
}

/** The public members in a fixed order, so that the same key always has the same text. */
function publicKeyOf(candidate: unknown): JWK | undefined {
  if (!isRecord(candidate) || !KEY_TYPES.includes(candidate['kty'])) return undefined
  // A private key that anybody can fetch proves nothing.
  if (candidate['d'] !== undefined || candidate['k'] !== undefined) return undefined
  const jwk: Record<string, unknown> = {}
  for (const member of MEMBERS) if (candidate[member] !== undefined) jwk[member] = candidate[member]
  return jwk
}

/** JWT-SVID section 6: `use` and `kid` are there; an entry that says less, or something else, is ignored. */
function keyForSvids(candidate: unknown): JWK | undefined {
  const jwk = publicKeyOf(candidate)
  if (jwk?.use !== JWT_SVID_USE || typeof jwk.kid !== 'string' || jwk.kid === '') return undefined
  // jose knows no use but `sig`, and takes a key without one.
  const { use: _, ...rest } = jwk
  return rest
}

function verificationKey(jwk: JWK): VerificationKey {
  // jose's own key set, of one key, decides whether the key fits a header and imports it once. It reads nothing but
  // `alg` and `kid` of the header: `jwk`, `jku`, `x5u` and `x5c` in there cannot bring a key along.
  return {
    kid: typeof jwk.kid === 'string' ? jwk.kid : undefined,
    resolve: createLocalJWKSet({ keys: [jwk] }),
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
