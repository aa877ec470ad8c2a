/** The value of `x-forwarded-client-cert`, as Envoy writes and applications read it: `Hash=…;Subject="…";URI=…`. */

/** A certificate may hold any amount of text; a head may not. */
const MAX_CHARS = 8 * 1024

export interface CertificateText {
  /** SHA-256 of the DER, lower-case hexadecimal. */
  readonly digest: string
  /** RFC 4514, as `rfc4514Subject` makes it. */
  readonly subject: string
  readonly uris: readonly string[]
}

/** Printable ASCII only, whatever the certificate holds. Of one with too much text only the hash is given. */
export function forwardedClientCert({ digest, subject, uris }: CertificateText): string {
  const hash = `Hash=${digest}`
  // RFC 4514 has put a backslash before each quote and backslash already, which is how this field escapes them.
  const value = [
    hash,
    `Subject="${subject}"`,
    ...uris.map(uri => `URI=${quoteIfNeeded(uri)}`),
  ].join(';')
  return value.length > MAX_CHARS ? hash : value
}

/**
 * `X509Certificate.subject` (one attribute a line, values escaped by RFC 2253, first one first) as one line of printable
 * ASCII in the order of RFC 4514, last one first. Node says `undefined` for a certificate that names nobody.
 */
export function rfc4514Subject(subject: string | undefined = ''): string {
  // " + " joins the attributes of one name component; in a value the sign is escaped.
  return subject.replaceAll(' + ', '+').split('\n').toReversed().map(escapeNonAscii).join(',')
}

function quoteIfNeeded(uri: string): string {
  // Percent-encodes quotes, backslashes, controls and all that is not ASCII; what was encoded already stays.
  const safe = encodeURI(uri.toWellFormed()).replaceAll('%25', '%')
  return /[,;=]/.test(safe) ? `"${safe}"` : safe
}

/** RFC 4514 section 2.4: a byte may be written as a backslash and two hexadecimal digits. */
function escapeNonAscii(text: string): string {
  return text.replaceAll(/[^ -~]/gu, character =>
    [...Buffer.from(character, 'utf8')]
      .map(byte => `\\${byte.toString(16).padStart(2, '0')}`)
      .join(''),
  )
}
