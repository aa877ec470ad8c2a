/** What a verified client certificate says about its connection. Read once a connection. */
import type { X509Certificate } from 'node:crypto'
import { type CertificateFacts, readCertificateFacts } from '../../codec/certificate-facts.ts'
import { readSvid } from '../../runtime/certificates/x509-svid.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import type { Tenant } from '../tenant/tenant.ts'
import type { ClientTrust } from './client-trust.ts'
import { forwardedClientCert, rfc4514Subject } from './forwarded-client-cert.ts'

/**
 * Why the SPIFFE id in a certificate is not believed: it is no X.509-SVID, or its issuer does not speak for its trust
 * domain.
 */
export type SvidFault = 'svid_invalid' | 'svid_untrusted'

export interface ClientCertificate {
  /** The SPIFFE id, where it is proven. */
  readonly spiffeId: string | undefined
  readonly fault: SvidFault | undefined
  /** Whether the id is of a trust domain that the configuration says nothing of. */
  readonly foreign: boolean
  /** SHA-256 of the DER, lower-case hexadecimal. */
  readonly digest: string
  /** RFC 4514, printable ASCII. */
  readonly subject: string
  /** Value for `x-forwarded-client-cert`. */
  readonly xfcc: string
}

/** What is looked at of a `TLSSocket`. */
export interface VerifiedPeer {
  readonly authorized: boolean
  getPeerX509Certificate(): X509Certificate | undefined
  isSessionReused(): boolean
}

/**
 * The client certificate of `socket`, after its handshake. `undefined` where there is none, where it was not verified,
 * or where it has expired: a resumed session does not check that again.
 */
export function readClientCertificate(
  socket: VerifiedPeer,
  trust: ClientTrust,
  nowMs: number,
): ClientCertificate | undefined {
  if (!socket.authorized) return undefined
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined || nowMs > certificate.validToDate.getTime()) return undefined
  const digest = certificate.fingerprint256.replaceAll(':', '').toLowerCase()
  const subject = rfc4514Subject(certificate.subject)
  const facts = readCertificateFacts(certificate.raw)
  return {
    ...judge({ certificate, digest, resumed: socket.isSessionReused() }, facts, trust),
    digest,
    subject,
    xfcc: forwardedClientCert({ digest, subject, uris: facts?.uris ?? [] }),
  }
}

interface Shown {
  readonly certificate: X509Certificate
  readonly digest: string
  readonly resumed: boolean
}

type Judgement = Pick<ClientCertificate, 'spiffeId' | 'fault' | 'foreign'>

/** No id is claimed, or none is looked for. */
const NO_SVID: Judgement = { spiffeId: undefined, fault: undefined, foreign: false }
const INVALID: Judgement = { spiffeId: undefined, fault: 'svid_invalid', foreign: false }

function judge(shown: Shown, facts: CertificateFacts | undefined, trust: ClientTrust): Judgement {
  if (!trust.spiffe) return NO_SVID
  const svid = readSvid(facts)
  if (svid === undefined) return NO_SVID
  if (svid === 'invalid') return INVALID
  if (trust.speaksFor(svid.trustDomain, shown))
    return { spiffeId: svid.id, fault: undefined, foreign: false }
  const foreign = !trust.knows(svid.trustDomain)
  return { spiffeId: undefined, fault: 'svid_untrusted', foreign }
}

/**
 * Whose certificate it is. Separate from reading it, since a connection outlives directories. A pinned digest and a
 * SPIFFE id that belong to two tenants contradict each other: neither wins. So does an id that is not believed contradict
 * everything else, and a certificate that means to be an SVID is nothing else where it is a bad one (X509-SVID, section
 * 5.2). Only an id of a trust domain that nobody here knows is no more than a name in a certificate that was pinned.
 */
export function ownerOfCertificate(
  { digest, spiffeId, fault, foreign }: ClientCertificate,
  directory: TenantDirectory,
): Tenant | SvidFault | 'tenant_mismatch' | undefined {
  const pinned = directory.byCertificateDigest(digest)
  if (fault !== undefined) return foreign ? (pinned ?? fault) : fault
  const named = spiffeId === undefined ? undefined : directory.bySpiffeId(spiffeId)
  if (pinned !== undefined && named !== undefined && pinned !== named) return 'tenant_mismatch'
  return pinned ?? named
}
