/** Parts that certificates and revocation lists have in common (RFC 5280). */
import { type BaseBlock, OctetString } from 'asn1js'
import {
  AuthorityKeyIdentifier,
  type Certificate,
  Extension,
  id_AuthorityKeyIdentifier,
  id_SubjectKeyIdentifier,
  Time,
  TimeType,
} from 'pkijs'

export const DAY_MS = 86_400_000
/** Clocks of the machines that see something new may be behind. */
export const BACKDATE_MS = 5 * 60_000

/** Until 2049 a UTCTime, from 2050 on a GeneralizedTime, neither with parts of a second (RFC 5280, 4.1.2.5). */
export function time(at: number): Time {
  const value = new Date(at - (at % 1_000))
  const type = value.getUTCFullYear() < 2050 ? TimeType.UTCTime : TimeType.GeneralizedTime
  return new Time({ type, value })
}

export function extension(
  extnID: string,
  value: BaseBlock | { toSchema(): BaseBlock },
  critical = false,
): Extension {
  const block = 'toSchema' in value ? value.toSchema() : value
  return new Extension({ extnID, critical, extnValue: block.toBER() })
}

/** Names the key of the authority that has signed. */
export function authorityKeyIdentifier(keyId: BufferSource): Extension {
  const keyIdentifier = new OctetString({ valueHex: keyId })
  return extension(id_AuthorityKeyIdentifier, new AuthorityKeyIdentifier({ keyIdentifier }))
}

/** As it stands in the certificate of an authority, which need not be of our making. */
export async function keyIdOf(issuer: Certificate): Promise<BufferSource> {
  const found = issuer.extensions?.find(({ extnID }) => extnID === id_SubjectKeyIdentifier)
  const value: unknown = found?.parsedValue
  return value instanceof OctetString ? value.getValue() : issuer.getKeyHash()
}
