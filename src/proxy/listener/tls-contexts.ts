/** Which certificates serve which name, and the contexts of OpenSSL with them. Sockets belong to others. */
import { X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { TLS_POLICY } from '../../runtime/certificates/tls-policy.ts'
import type { TlsMaterial } from './tls-material.ts'

type Keyed = TlsMaterial['certificates'][number]

/**
 * Contexts of one listener; throws what OpenSSL says where certificates, keys, authorities or lists cannot be used. `session` is
 * the same for all of them.
 */
export function createContexts(
  { certificates, authorities, revocationLists }: Omit<TlsMaterial, 'listener' | 'trustDomains'>,
  session: SecureContextOptions = {},
): CertificateNames {
  const shared: SecureContextOptions = {
    ...TLS_POLICY,
    ...session,
    // An empty list is no authority at all; left out it would be those of Node.
    ca: [...authorities],
    // An intermediate authority without its root is an authority, too: what is in `clientCa` is trusted.
    allowPartialTrustChain: true,
    ...(revocationLists.length === 0 ? {} : { crl: [...revocationLists] }),
  }
  return new CertificateNames(certificates, shared)
}

/** One way to serve: the certificates of some names, one of each kind of key. */
interface Service {
  readonly context: SecureContext
  /** Kinds of its keys, such as `ec rsa`. */
  readonly kinds: string
}

/** Which context serves a name: exact before wildcard, else that of the first certificate. */
export class CertificateNames {
  readonly #byName: ReadonlyMap<string, SecureContext>
  readonly #services: ReadonlyMap<string, Service>
  /** For names that no certificate has, and for clients that name nobody. */
  readonly first: SecureContext

  constructor(certificates: readonly Keyed[], shared: SecureContextOptions) {
    const { byName, first, kinds } = groupsOf(certificates)
    const services = new Map<string, Service>()
    const contextOf = (group: readonly number[]): SecureContext => {
      const key = group.join()
      const service = services.get(key) ?? {
        context: createSecureContext({
          ...shared,
          cert: group.map(index => (certificates[index] as Keyed).cert),
          key: group.map(index => (certificates[index] as Keyed).key),
        }),
        kinds: group.map(index => kinds[index]).join(' '),
      }
      services.set(key, service)
      return service.context
    }
    this.first = contextOf(first)
    this.#byName = new Map([...byName].map(([name, group]) => [name, contextOf(group)]))
    this.#services = services
  }

  get contexts(): SecureContext[] {
    return [...this.#services.values()].map(({ context }) => context)
  }

  /**
   * Whether OpenSSL can go from one context to another in the middle of a handshake. Node then takes one certificate over, and those
   * of other kinds of keys stay: they would be the wrong ones for the name.
   */
  get exchangeable(): boolean {
    const [kinds = '', ...others] = new Set([...this.#services.values()].map(each => each.kinds))
    return this.#services.size === 1 || (others.length === 0 && !kinds.includes(' '))
  }

  /** A wildcard stands for one label (RFC 9525, 6.3). */
  find(name: string): SecureContext {
    const lower = name.toLowerCase().replace(/\.$/, '')
    const wildcard = `*${lower.slice(lower.indexOf('.'))}`
    return this.#byName.get(lower) ?? this.#byName.get(wildcard) ?? this.first
  }
}

/** Certificates by their index. */
interface Groups {
  readonly byName: ReadonlyMap<string, readonly number[]>
  readonly first: readonly number[]
  /** Of the key of each certificate. */
  readonly kinds: readonly string[]
}

/** For each name the first certificate of each kind of key: OpenSSL has room for one of a kind, and chooses by what the client takes. */
function groupsOf(certificates: readonly Keyed[]): Groups {
  const byName = new Map<string, number[]>()
  const kinds: string[] = []
  let firstName: string | undefined
  for (const [index, { cert }] of certificates.entries()) {
    const parsed = new X509Certificate(cert)
    const kind = parsed.publicKey.asymmetricKeyType ?? 'unknown'
    kinds.push(kind)
    const names = dnsNames(parsed)
    if (index === 0) [firstName] = names
    for (const name of names) {
      const group = byName.get(name) ?? []
      if (!group.some(other => kinds[other] === kind)) byName.set(name, [...group, index])
    }
  }
  const first = (firstName === undefined ? undefined : byName.get(firstName)) ?? [0]
  return { byName, first, kinds }
}

function dnsNames(certificate: X509Certificate): string[] {
  const names = certificate.subjectAltName?.match(/DNS:[^,"]+/g) ?? []
  return names.map(name => name.slice('DNS:'.length).trim().toLowerCase())
}
