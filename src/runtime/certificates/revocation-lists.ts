/** Lists of revoked certificates (RFC 5280, 5) in files, one or many, in PEM or DER form; each as PEM of its own. */
import { revocationListFields } from './der.ts'

const BEGIN = '-----BEGIN X509 CRL-----'
const END = '-----END X509 CRL-----'
/** RFC 7468, section 8; what stands between two blocks is explanatory text. */
const BLOCK = /-----BEGIN X509 CRL-----[A-Za-z0-9+/=\s]*-----END X509 CRL-----/g

/** Undefined where there is none, or one that cannot be read: a list that is missing without a word lets revoked certificates in. */
export function revocationListsIn(bytes: Buffer): string[] | undefined {
  const text = bytes.toString('latin1')
  const marks = text.split(BEGIN).length - 1
  if (marks === 0)
    return revocationListFields(bytes) && [`${BEGIN}\n${lines(bytes.toString('base64'))}\n${END}\n`]
  const blocks = text.match(BLOCK) ?? []
  const readable = blocks.every(block => revocationListFields(derOf(block)) !== undefined)
  return readable && blocks.length === marks ? blocks.map(block => `${block}\n`) : undefined
}

/** The DER of a PEM block. */
export function derOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----[^-]*-----|\s/g, ''), 'base64')
}

/** RFC 7468, section 2: of 64 characters. */
function lines(base64: string): string {
  return base64.match(/.{1,64}/g)?.join('\n') ?? ''
}
