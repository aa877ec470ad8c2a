/** The certificates in a PEM file (RFC 7468). */
import { X509Certificate } from 'node:crypto'

const BLOCK = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----/g
const MARK = '-----BEGIN CERTIFICATE-----'

/**
 * All certificates in `text`, in their order, or what is wrong in one phrase. What stands between the blocks is
 * explanatory text. A block that cannot be read is never skipped: an authority that is missing without a word is an
 * outage that nobody understands.
 */
export function readPemCertificates(text: string): readonly X509Certificate[] | string {
  const blocks = text.match(BLOCK) ?? []
  const marks = text.split(MARK).length - 1
  if (marks === 0) return 'holds no certificate'
  if (blocks.length !== marks) return 'holds a certificate that cannot be read'
  try {
    return blocks.map(block => new X509Certificate(block))
  } catch {
    return 'holds a certificate that cannot be read'
  }
}
