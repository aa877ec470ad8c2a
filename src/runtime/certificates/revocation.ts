/** Certificate revocation lists (RFC 5280, section 5). */
import { Buffer } from 'node:buffer'
import { X509Certificate } from 'node:crypto'
import { Integer } from 'asn1js'
import {
  Certificate,
  CertificateRevocationList,
  Extensions,
  id_CRLNumber,
  RevokedCertificate,
} from 'pkijs'
import type { KeyedCertificate } from './issue.ts'
import { signingKey } from './key-types.ts'
import {
  authorityKeyIdentifier,
  BACKDATE_MS,
  DAY_MS,
  extension,
  keyIdOf,
  time,
} from './x509-parts.ts'

const PEM = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/
const PEM_LINE_CHARS = 64

/** What is revoked, and when, by serial number: capital hexadecimal digits, as `X509Certificate.serialNumber` has them. */
export type Revocations = ReadonlyMap<string, number>

/** What a list holds. */
export interface RevocationList {
  /** Each list of an authority has a higher one than the last. */
  readonly number: number
  readonly revoked: Revocations
}

/** A new list, PEM, good from a few minutes ago for so many days. */
export async function createRevocationList(
  authority: KeyedCertificate,
  { number, revoked }: RevocationList,
  { now, days }: { readonly now: number; readonly days: number },
): Promise<string> {
  const issuer = Certificate.fromBER(new X509Certificate(authority.cert).raw)
  const list = new CertificateRevocationList({
    version: 1, // counted from 0: v2
    issuer: issuer.subject,
    thisUpdate: time(now - BACKDATE_MS),
    nextUpdate: time(now + days * DAY_MS),
    crlExtensions: new Extensions({
      extensions: [
        authorityKeyIdentifier(await keyIdOf(issuer)),
        extension(id_CRLNumber, new Integer({ value: number })),
      ],
    }),
  })
  // An empty list must be absent (RFC 5280, 5.1.2.6).
  if (revoked.size > 0) list.revokedCertificates = [...revoked].map(entry)
  await list.sign(await signingKey(authority.key), 'SHA-256')
  const text = Buffer.from(list.toSchema().toBER()).toString('base64')
  const lines = text.match(new RegExp(`.{1,${PEM_LINE_CHARS}}`, 'g')) ?? []
  return `-----BEGIN X509 CRL-----\n${lines.join('\n')}\n-----END X509 CRL-----\n`
}

/** What the list `pem` holds; rejects with a `RangeError` where it is none, or not one of `authority` (PEM). */
export async function readRevocationList(pem: string, authority: string): Promise<RevocationList> {
  const list = parse(pem)
  const issuerCertificate = Certificate.fromBER(new X509Certificate(authority).raw)
  if (list === undefined) throw new RangeError('it is not a certificate revocation list (PEM)')
  if (!(await list.verify({ issuerCertificate })))
    throw new RangeError('it was not signed by this authority')
  const number: unknown = list.crlExtensions?.extensions.find(
    ({ extnID }) => extnID === id_CRLNumber,
  )?.parsedValue
  return {
    number: number instanceof Integer ? Number(number.toBigInt()) : 0,
    revoked: new Map(
      (list.revokedCertificates ?? []).map(({ userCertificate, revocationDate }) => [
        serialOf(userCertificate),
        revocationDate.value.getTime(),
      ]),
    ),
  }
}

function parse(pem: string): CertificateRevocationList | undefined {
  const [, base64] = PEM.exec(pem) ?? []
  if (base64 === undefined) return undefined
  try {
    return CertificateRevocationList.fromBER(Buffer.from(base64, 'base64'))
  } catch {
    return undefined
  }
}

function entry([serial, at]: readonly [string, number]): RevokedCertificate {
  return new RevokedCertificate({
    userCertificate: Integer.fromBigInt(BigInt(`0x${serial}`)),
    revocationDate: time(at),
  })
}

/** In whole bytes. */
function serialOf(integer: Integer): string {
  const digits = integer.toBigInt().toString(16).toUpperCase()
  return digits.padStart(digits.length + (digits.length % 2), '0')
}
