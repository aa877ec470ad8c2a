/**
 * Which tenant an address, a name or a credential belongs to. A directory is a snapshot: it never changes, a new
 * configuration makes a new one that is swapped in whole.
 */
import { keyOfPrivateLink } from '../../config/private-link-schema.ts'
import type { CredentialConfig, TenantConfig } from '../../config/schema.ts'
import { textsOf } from '../../core/claim-path.ts'
import { sameConfig } from '../../core/same-config.ts'
import { normalizeAddress } from './ip-address.ts'
import { type Claims, JwtBindings } from './jwt-bindings.ts'
import { Tenant } from './tenant.ts'

const DIGEST_PREFIX = 'sha256:'
const WILDCARD_HOST = '*.'
const WILDCARD_PATH = '/*'

/**
 * Compiling 100,000 tenants, each with an address, a host name and two credentials, takes 0.65 s of CPU time; an update in
 * which one tenant changed 0.75 to 0.9 s, the comparison of all the others included. One tenant costs some 260 bytes
 * besides its configuration. (Node 26, one of two busy cores.)
 */
export class TenantDirectory {
  /** Number of the configuration that this was made from; it tells snapshots apart. */
  readonly generation: number
  readonly #ids = new Map<string, Tenant>()
  readonly #addresses = new Map<string, Tenant>()
  readonly #hosts = new Map<string, Tenant>()
  /** Key: what follows the `*.`. */
  readonly #hostSuffixes = new Map<string, Tenant>()
  readonly #apiKeys = new Map<string, Tenant>()
  readonly #certificates = new Map<string, Tenant>()
  readonly #privateLinks = new Map<string, Tenant>()
  readonly #spiffeIds = new Map<string, Tenant>()
  /** Key: what stands before the `*`, with its slash. */
  readonly #spiffePrefixes = new Map<string, Tenant>()
  readonly #jwtBindings = new JwtBindings()
  readonly #issuers = new Map<string, Tenant>()
  #nextIndex: number

  private constructor(generation: number, nextIndex: number) {
    this.generation = generation
    this.#nextIndex = nextIndex
  }

  /**
   * The first snapshot of a process. Throws an `Error` that names both tenants where two claim the same thing: the
   * loader refuses such a configuration, so it never gets here, and if it does the snapshot in use must stay.
   */
  static compile(tenants: readonly TenantConfig[], generation: number): TenantDirectory {
    return TenantDirectory.#build(new TenantDirectory(-1, 0), tenants, generation)
  }

  /**
   * The snapshot after `previous`. A tenant whose configuration is the same keeps its `Tenant` object, a changed one its
   * index; a new id (also one that was away for a while) gets a fresh index. Throws as `compile` does.
   */
  static update(
    previous: TenantDirectory,
    tenants: readonly TenantConfig[],
    generation: number,
  ): TenantDirectory {
    return TenantDirectory.#build(previous, tenants, generation)
  }

  static #build(
    previous: TenantDirectory,
    tenants: readonly TenantConfig[],
    generation: number,
  ): TenantDirectory {
    const directory = new TenantDirectory(generation, previous.#nextIndex)
    for (const config of tenants) directory.#add(previous.#ids.get(config.id), config)
    return directory
  }

  get size(): number {
    return this.#ids.size
  }

  tenants(): IterableIterator<Tenant> {
    return this.#ids.values()
  }

  byId(id: string): Tenant | undefined {
    return this.#ids.get(id)
  }

  /** `address` as a socket gives it: any text of an IPv4, IPv6 or IPv4-mapped address. */
  byAddress(address: string): Tenant | undefined {
    const exact = this.#addresses.get(address)
    if (exact !== undefined) return exact
    const normal = normalizeAddress(address)
    return normal === undefined ? undefined : this.#addresses.get(normal)
  }

  /** `name` as `normalizeHost` gives it. The exact name wins, then the longest `*.` that it lies under, at any depth. */
  byHost(name: string): Tenant | undefined {
    const exact = this.#hosts.get(name)
    if (exact !== undefined || this.#hostSuffixes.size === 0) return exact
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      // "*" stands for at least one character: ".example.com" lies under nothing.
      const tenant = dot === 0 ? undefined : this.#hostSuffixes.get(name.slice(dot + 1))
      if (tenant !== undefined) return tenant
    }
    return undefined
  }

  /** `hex`: 64 lower-case hexadecimal digits. */
  byApiKeyDigest(hex: string): Tenant | undefined {
    return this.#apiKeys.get(hex)
  }

  /** `hex`: SHA-256 of the certificate's DER, 64 lower-case hexadecimal digits. */
  byCertificateDigest(hex: string): Tenant | undefined {
    return this.#certificates.get(hex)
  }

  /** `key`: as `ProxyFacts.privateLink` has it. */
  byPrivateLink(key: string): Tenant | undefined {
    return this.#privateLinks.get(key)
  }

  /** `uri`: a checked SPIFFE id. The exact id wins, then the longest prefix ending in `/*`. */
  bySpiffeId(uri: string): Tenant | undefined {
    const exact = this.#spiffeIds.get(uri)
    if (exact !== undefined || this.#spiffePrefixes.size === 0) return exact
    for (let slash = uri.lastIndexOf('/'); slash > 0; slash = uri.lastIndexOf('/', slash - 1)) {
      const tenant = this.#spiffePrefixes.get(uri.slice(0, slash + 1))
      if (tenant !== undefined) return tenant
    }
    return undefined
  }

  /**
   * The tenant of a verified token: by the claims that tenants list for its issuer, else the one whose id the tenant
   * claim is, or has among others. Claims that point at two tenants point at none.
   */
  byJwt(issuer: string, tenantClaimValue: unknown, claims: Claims): Tenant | undefined {
    const bound = this.#jwtBindings.find(issuer, claims)
    if (bound !== undefined) return bound === 'ambiguous' ? undefined : bound
    let found: Tenant | undefined
    for (const id of textsOf(tenantClaimValue)) {
      const tenant = this.#ids.get(id)
      if (tenant !== undefined && found !== undefined && tenant !== found) return undefined
      found = tenant ?? found
    }
    return found
  }

  /** The tenant whose own issuer (`tenants[].jwt`) this is. */
  byIssuer(issuer: string): Tenant | undefined {
    return this.#issuers.get(issuer)
  }

  #add(known: Tenant | undefined, config: TenantConfig): void {
    const tenant = this.#tenant(known, config)
    this.#claim(this.#ids, tenant, config.id)
    if (config.address !== undefined) {
      this.#claim(this.#addresses, tenant, normalizeAddress(config.address) ?? config.address)
    }
    for (const host of config.hosts) {
      if (!host.startsWith(WILDCARD_HOST)) this.#claim(this.#hosts, tenant, host)
      else this.#claim(this.#hostSuffixes, tenant, host.slice(WILDCARD_HOST.length))
    }
    for (const { issuer } of config.jwt) this.#claim(this.#issuers, tenant, issuer)
    for (const credential of config.credentials) this.#addCredential(tenant, credential)
  }

  #tenant(known: Tenant | undefined, config: TenantConfig): Tenant {
    if (known === undefined) {
      this.#nextIndex += 1
      return new Tenant(this.#nextIndex - 1, config)
    }
    return sameConfig(known.config, config) ? known : new Tenant(known.index, config)
  }

  #addCredential(tenant: Tenant, credential: CredentialConfig): void {
    if ('apiKey' in credential) {
      this.#claim(this.#apiKeys, tenant, credential.apiKey.slice(DIGEST_PREFIX.length))
    } else if ('certificate' in credential) {
      this.#claim(this.#certificates, tenant, credential.certificate.slice(DIGEST_PREFIX.length))
    } else if ('privateLink' in credential) {
      this.#claim(this.#privateLinks, tenant, keyOfPrivateLink(credential.privateLink))
    } else if ('spiffe' in credential) {
      this.#addSpiffe(tenant, credential.spiffe)
    } else {
      const { issuer, claims } = credential.jwt
      const owner = this.#jwtBindings.add(tenant, issuer, claims)
      if (owner !== undefined) throw contested(owner, tenant, `tokens of ${issuer}`)
    }
  }

  #addSpiffe(tenant: Tenant, uri: string): void {
    if (uri.endsWith(WILDCARD_PATH)) this.#claim(this.#spiffePrefixes, tenant, uri.slice(0, -1))
    else this.#claim(this.#spiffeIds, tenant, uri)
  }

  #claim(map: Map<string, Tenant>, tenant: Tenant, key: string): void {
    const owner = map.get(key)
    // An id twice would give two `Tenant` objects, and so two counts, for one tenant.
    if (owner !== undefined && (owner !== tenant || map === this.#ids))
      throw contested(owner, tenant, key)
    map.set(key, tenant)
  }
}

function contested(a: Tenant, b: Tenant, what: string): Error {
  return new Error(`tenants "${a.id}" and "${b.id}" both claim ${what}`)
}
