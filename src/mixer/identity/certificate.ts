/** What the client certificate of a connection to the mixer says of the workload behind it. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { readCertificateFacts } from '../../codec/certificate-facts.ts'
import { readSvid } from '../../runtime/certificates/x509-svid.ts'

export type CertificateEvidence =
  | { readonly kind: 'none' }
  /** One was shown that does not verify, that has expired since, or that has a SPIFFE id and is no X.509-SVID. */
  | { readonly kind: 'invalid' }
  /** `spiffeId` is undefined where it has none. */
  | { readonly kind: 'verified'; readonly spiffeId: string | undefined }

/** `nowMs`: expiry is looked at with each call, since a connection, and a session, may outlive the certificate. */
export function readCertificate(socket: Socket, nowMs: number): CertificateEvidence {
  if (!(socket instanceof TLSSocket)) return { kind: 'none' }
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return { kind: 'none' }
  if (!socket.authorized || nowMs > certificate.validToDate.getTime()) return { kind: 'invalid' }
  const svid = readSvid(readCertificateFacts(certificate.raw))
  return svid === 'invalid' ? { kind: 'invalid' } : { kind: 'verified', spiffeId: svid?.id }
}
