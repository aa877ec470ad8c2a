/** What a verified client certificate says about its connection. Read once a connection. */
import type { TLSSocket } from 'node:tls'
import { urisOf } from '../../codec/subject-alt-name.ts'
import { spiffeIdOf } from '../../runtime/certificates/x509-svid.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { forwardedClientCert, rfc4514Subject } from './forwarded-client-cert.ts'

export interface ClientCertificate {
  /** The only SPIFFE id, if the certificate is an X.509-SVID of our trust domain. */
  readonly spiffeId: string | undefined
  /** SHA-256 of the DER, lower-case hexadecimal. */
  readonly digest: string
  /** RFC 4514, printable ASCII. */
  readonly subject: string
  /** Value for `x-forwarded-client-cert`. */
  readonly xfcc: string
}

/**
 * The client certificate of `socket`, after its handshake. `undefined` where there is none, where it was not verified,
 * or where it has expired: a resumed session does not check that again. Without `trustDomain` no SPIFFE id is taken.
 */
export function readClientCertificate(
  socket: Pick<TLSSocket, 'authorized' | 'getPeerX509Certificate'>,
  trustDomain: string | undefined,
  nowMs: number,
): ClientCertificate | undefined {
  if (!socket.authorized) return undefined
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined || nowMs > certificate.validToDate.getTime()) return undefined
  const digest = certificate.fingerprint256.replaceAll(':', '').toLowerCase()
  const subject = rfc4514Subject(certificate.subject)
  const uris = urisOf(certificate.subjectAltName) ?? []
  return {
    spiffeId: trustDomain === undefined ? undefined : spiffeIdOf(certificate, trustDomain),
    digest,
    subject,
    xfcc: forwardedClientCert({ digest, subject, uris }),
  }
}

/**
 * Whose certificate it is. Separate from reading it, since a connection outlives directories. A pinned digest and a
 * SPIFFE id that belong to two tenants contradict each other: neither wins.
 */
export function ownerOfCertificate(
  { digest, spiffeId }: ClientCertificate,
  directory: TenantDirectory,
): Tenant | 'tenant_mismatch' | undefined {
  const pinned = directory.byCertificateDigest(digest)
  const named = spiffeId === undefined ? undefined : directory.bySpiffeId(spiffeId)
  if (pinned !== undefined && named !== undefined && pinned !== named) return 'tenant_mismatch'
  return pinned ?? named
}
