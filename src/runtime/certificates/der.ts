/**
 * The few fields of certificates and revocation lists that Node does not tell, read from their DER (X.690). It verifies
 * nothing: OpenSSL does, with the same bytes.
 */

/** X.690, 8.1.2: the tags that occur on the way. */
const SEQUENCE = 0x30
const INTEGER = 0x02
const UTC_TIME = 0x17
const GENERALIZED_TIME = 0x18
const VERSION = 0xa0

interface Element {
  readonly tag: number
  /** Of the whole element, and of its contents. */
  readonly start: number
  readonly from: number
  readonly to: number
}

export interface RevocationListFields {
  /** The name of the authority, as DER in hexadecimal: the same bytes as in its certificate. */
  readonly issuer: string
  /** Milliseconds since the epoch. */
  readonly thisUpdate: number
  /** Milliseconds since the epoch; undefined where the list does not say. */
  readonly nextUpdate: number | undefined
}

/** Fields of a CertificateList (RFC 5280, 5.1); undefined where the bytes are none. */
export function revocationListFields(der: Buffer): RevocationListFields | undefined {
  const list = elementsOf(der, elementAt(der, 0, der.length))
  const fields = elementsOf(der, list?.[0])
  if (fields === undefined || list?.length !== 3) return undefined
  // The version is left out in lists of version 1.
  const at = fields[0]?.tag === INTEGER ? 2 : 1
  const [issuer, current, next] = [fields[at], fields[at + 1], fields[at + 2]]
  const thisUpdate = current && timeOf(der, current)
  if (issuer?.tag !== SEQUENCE || thisUpdate === undefined) return undefined
  return { issuer: hexOf(der, issuer), thisUpdate, nextUpdate: next && timeOf(der, next) }
}

/** The subject of a Certificate (RFC 5280, 4.1), as DER in hexadecimal; undefined where the bytes are none. */
export function certificateSubject(der: Buffer): string | undefined {
  const [body] = elementsOf(der, elementAt(der, 0, der.length)) ?? []
  const fields = elementsOf(der, body)
  // Serial number, algorithm, issuer and validity stand before it, and from version 2 on the version.
  const subject = fields?.[fields[0]?.tag === VERSION ? 5 : 4]
  return subject?.tag === SEQUENCE ? hexOf(der, subject) : undefined
}

function hexOf(der: Buffer, { start, to }: Element): string {
  return der.toString('hex', start, to)
}

/** The elements inside of a sequence; undefined where it is none or they do not fill it. */
function elementsOf(der: Buffer, sequence: Element | undefined): Element[] | undefined {
  if (sequence?.tag !== SEQUENCE) return undefined
  const elements: Element[] = []
  for (let at = sequence.from; at < sequence.to; ) {
    const element = elementAt(der, at, sequence.to)
    if (element === undefined) return undefined
    elements.push(element)
    at = element.to
  }
  return elements
}

/** X.690, 8.1.3 and 10.1: lengths are definite, of at most four bytes here. */
function elementAt(der: Buffer, start: number, end: number): Element | undefined {
  const tag = der[start]
  const first = der[start + 1]
  if (tag === undefined || first === undefined) return undefined
  const size = first < 0x80 ? 0 : first - 0x80
  const from = start + 2 + size
  if (first === 0x80 || size > 4 || from > end) return undefined
  const length = size === 0 ? first : der.readUIntBE(start + 2, size)
  return from + length > end ? undefined : { tag, start, from, to: from + length }
}

/** RFC 5280, 4.1.2.5: `YYMMDDHHMMSSZ` for 1950 to 2049, or `YYYYMMDDHHMMSSZ`. */
function timeOf(der: Buffer, { tag, from, to }: Element): number | undefined {
  if (tag !== UTC_TIME && tag !== GENERALIZED_TIME) return undefined
  const text = der.toString('latin1', from, to)
  const short = tag === UTC_TIME
  const year = short ? `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}` : text
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(year)
  if (match === null) return undefined
  const [, y, mo, d, h, mi, s] = match
  const at = Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`)
  return Number.isNaN(at) ? undefined : at
}
