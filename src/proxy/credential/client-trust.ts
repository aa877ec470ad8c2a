/** Which authorities client certificates are verified against, and for which trust domain each of them speaks. */
import { X509Certificate } from 'node:crypto'
import type { SpiffeConfig } from '../../config/schema.ts'
import { VerifiedCache } from './verified-cache.ts'

/** An authority of a listener. */
export interface SpeakingAuthority {
  /** PEM or DER of one certificate. */
  readonly certificate: string | Buffer
  /** The trust domain whose ids it may sign; `undefined`: none. */
  readonly trustDomain: string | undefined
}

/** A client certificate whose handshake is over. */
export interface VerifiedLeaf {
  readonly certificate: X509Certificate
  /** SHA-256 of its DER, hexadecimal. */
  readonly digest: string
  /** Whether the session was resumed: then the chain to the authority is not known any more. */
  readonly resumed: boolean
}

/** Certificates that a client may send between its own and the authority; SPIRE has two at most. */
const MAX_INTERMEDIATES = 8
/** Of certificates whose trust domain was found out. Each is 64 characters and some bytes. */
const KNOWN_LIMITS = { maxEntries: 16_384, maxKeyBytes: 1024 * 1024 }

/**
 * OpenSSL verifies a client against all authorities of a listener at once and does not say which of them it came to. So
 * the ways from the certificate to authorities are followed here again, by issuer names, key identifiers and key usage
 * alone (`checkIssued` is the function that OpenSSL finds issuers with): every way that OpenSSL can have gone is among
 * them. Where all of them end in one trust domain, that one vouches for the certificate; where they do not, nobody does.
 */
export class ClientTrust {
  /** Whether SPIFFE ids are looked for at all. */
  readonly spiffe: boolean
  /**
   * Whether there are authorities with different trust domains, or with and without one. Then no session may be resumed:
   * it would keep the certificate, not the chain that tells the authority.
   */
  readonly divided: boolean
  readonly #names: ReadonlySet<string>
  /** Where `divided`. */
  readonly #anchors: readonly Anchor[]
  /** Otherwise: the trust domain of all authorities. */
  readonly #only: string | undefined
  /** Digest of a certificate → its trust domain. That its authority has signed it is true for as long as it is one. */
  readonly #known = new VerifiedCache<string>(KNOWN_LIMITS)

  /** Without `spiffe` nothing is said of ids, and none is looked for. */
  constructor(spiffe: SpiffeConfig | undefined, authorities: readonly SpeakingAuthority[]) {
    this.spiffe = spiffe !== undefined
    this.#names = namesOf(spiffe)
    const domains = new Set(authorities.map(({ trustDomain }) => trustDomain))
    this.divided = domains.size > 1
    this.#only = this.divided ? undefined : [...domains][0]
    this.#anchors = this.divided ? authorities.map(anchorOf) : []
  }

  /** Whether the configuration says anything of this trust domain. */
  knows(trustDomain: string): boolean {
    return this.#names.has(trustDomain)
  }

  /** Whether the certificate, which OpenSSL has verified, is from an authority of `trustDomain`. */
  speaksFor(trustDomain: string, leaf: VerifiedLeaf): boolean {
    return this.#domainOf(leaf) === trustDomain
  }

  #domainOf({ certificate, digest, resumed }: VerifiedLeaf): string | undefined {
    if (!this.divided) return this.#only
    const known = this.#known.get(digest)
    if (known !== undefined || resumed) return known
    const domain = domainAbove(certificate, this.#anchors)
    if (domain !== undefined) this.#known.set(digest, domain)
    return domain
  }
}

interface Anchor {
  readonly certificate: X509Certificate
  readonly trustDomain: string | undefined
}

function anchorOf({ certificate, trustDomain }: SpeakingAuthority): Anchor {
  return { certificate: new X509Certificate(certificate), trustDomain }
}

function namesOf(spiffe: SpiffeConfig | undefined): ReadonlySet<string> {
  const names = spiffe?.trustDomains.map(({ name }) => name) ?? []
  return new Set(spiffe?.trustDomain === undefined ? names : [spiffe.trustDomain, ...names])
}

/** The trust domain in which all ways up from `leaf` end; `undefined` where there is none, or another one too. */
function domainAbove(leaf: X509Certificate, anchors: readonly Anchor[]): string | undefined {
  const all = intermediatesOf(leaf)
  if (all === undefined) return undefined
  // An authority that is sent along is an authority: whoever stands above it has not signed this.
  const digests = new Set(anchors.map(({ certificate }) => certificate.fingerprint256))
  const sent = all.filter(({ fingerprint256 }) => !digests.has(fingerprint256))
  const found = new Set<string | undefined>()
  const open = [leaf]
  for (let at = 0; at < open.length; at++) {
    const below = open[at] as X509Certificate
    for (const { certificate, trustDomain } of anchors)
      if (below.checkIssued(certificate)) found.add(trustDomain)
    for (const above of sent)
      if (!open.includes(above) && below.checkIssued(above)) open.push(above)
  }
  const [domain] = found
  return found.size === 1 ? domain : undefined
}

/** What the client sent with its certificate, in whatever order; `undefined` for more than anybody needs. */
function intermediatesOf(leaf: X509Certificate): readonly X509Certificate[] | undefined {
  const sent: X509Certificate[] = []
  for (let next = leaf.issuerCertificate; next !== undefined; next = next.issuerCertificate) {
    if (sent.length === MAX_INTERMEDIATES) return undefined
    sent.push(next)
  }
  return sent
}
