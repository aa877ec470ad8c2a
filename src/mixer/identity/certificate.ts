/** What the client certificate of a connection to the mixer says of the workload behind it. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { spiffeIdOf } from '../../runtime/certificates/x509-svid.ts'

export type CertificateEvidence =
  | { readonly kind: 'none' }
  /** One was shown that does not verify, or that has expired since. */
  | { readonly kind: 'invalid' }
  /** `spiffeId` is undefined where it is no X.509-SVID. */
  | { readonly kind: 'verified'; readonly spiffeId: string | undefined }

/** `nowMs`: expiry is looked at with each call, since a connection, and a session, may outlive the certificate. */
export function readCertificate(socket: Socket, nowMs: number): CertificateEvidence {
  if (!(socket instanceof TLSSocket)) return { kind: 'none' }
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return { kind: 'none' }
  if (!socket.authorized || nowMs > certificate.validToDate.getTime()) return { kind: 'invalid' }
  return { kind: 'verified', spiffeId: spiffeIdOf(certificate) }
}
