/** X.509-SVID (SPIFFE): which certificate proves which id, as far as the certificate itself can say. */
import { type CertificateFacts, KEY_USAGE } from '../../codec/certificate-facts.ts'
import { claimsSpiffeId, trustDomainOf } from '../../codec/spiffe-id.ts'

export interface Svid {
  readonly id: string
  readonly trustDomain: string
}

const SIGNS_OTHERS = KEY_USAGE.keyCertSign | KEY_USAGE.cRLSign

/**
 * The id in a client's certificate; `undefined` where it names none and `'invalid'` where it names one and is no
 * X.509-SVID, or where its facts cannot be read. It says nothing of who issued it.
 *
 * X509-SVID sections 2 (exactly one URI), 3.1 (a path), 4.1 (no authority) and 4.3 (key usage there and critical, with
 * digitalSignature, without keyCertSign and cRLSign), 4.4 (clientAuth, where there is an extended key usage).
 */
export function readSvid(facts: CertificateFacts | undefined): Svid | 'invalid' | undefined {
  if (facts === undefined) return 'invalid'
  const { uris } = facts
  if (!uris.some(claimsSpiffeId)) return undefined
  const [id = ''] = uris
  // Of two URIs, who knows which one was checked by whom: also where one of them is fine.
  const trustDomain = uris.length === 1 ? trustDomainOf(id) : undefined
  return trustDomain !== undefined && isLeafOfClient(facts) ? { id, trustDomain } : 'invalid'
}

function isLeafOfClient(facts: CertificateFacts): boolean {
  const { authority, keyUsage = 0, keyUsageCritical, clientAuth = true } = facts
  if (authority || (keyUsage & SIGNS_OTHERS) !== 0) return false
  if ((keyUsage & KEY_USAGE.digitalSignature) === 0 || !keyUsageCritical || !clientAuth)
    return false
  // RFC 5280, 4.1.2.6: without a subject the alternative names are all there is, so nobody may skip them.
  return facts.named || facts.alternativeNamesCritical
}
