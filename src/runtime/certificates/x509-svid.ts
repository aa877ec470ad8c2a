/** The SPIFFE id in a certificate that has been verified. */
import type { X509Certificate } from 'node:crypto'
import { isSpiffeId, trustDomainOf } from '../../codec/spiffe-id.ts'
import { urisOf } from '../../codec/subject-alt-name.ts'

/**
 * X.509-SVID sections 2 and 4: exactly one URI, and a leaf. Of two URIs, who knows which one was checked by whom.
 * Undefined where the certificate is no X.509-SVID, or none of `trustDomain` where one is given.
 */
export function spiffeIdOf(certificate: X509Certificate, trustDomain?: string): string | undefined {
  const uris = urisOf(certificate.subjectAltName) ?? []
  const [uri] = uris
  if (uri === undefined || uris.length !== 1 || certificate.ca) return undefined
  return (trustDomain === undefined ? isSpiffeId(uri) : trustDomainOf(uri) === trustDomain)
    ? uri
    : undefined
}
