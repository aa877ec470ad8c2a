/** Certificates with whatever in them: nothing is checked, so that what nobody should issue can be made. */
import { KeyObject, X509Certificate } from 'node:crypto'
import {
  Set as Asn1Set,
  type BaseBlock,
  BitString,
  Integer,
  OctetString,
  Sequence,
  Utf8String,
} from 'asn1js'
import {
  AttributeTypeAndValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  Extension,
  ExtKeyUsage,
  GeneralName,
  GeneralNames,
  id_AuthorityKeyIdentifier,
  id_BasicConstraints,
  id_ExtKeyUsage,
  id_KeyUsage,
  id_SubjectAltName,
  id_SubjectKeyIdentifier,
  RelativeDistinguishedNames,
  Time,
} from 'pkijs'

const DAY_MS = 86_400_000
const NOW = Date.now()
const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' } as const

export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
export const ANY_PURPOSE = '2.5.29.37.0'

/** Kinds of names (RFC 5280, 4.2.1.6) with one byte a character. */
const name = (type: 1 | 2 | 6, value: string): GeneralName =>
  new GeneralName({ type, value: Buffer.from(value, 'utf8').toString('latin1') })
export const mail = (value: string): GeneralName => name(1, value)
export const dns = (value: string): GeneralName => name(2, value)
export const uri = (value: string): GeneralName => name(6, value)

const ATTRIBUTE = { CN: '2.5.4.3', C: '2.5.4.6', O: '2.5.4.10' } as const
export const attribute = (kind: keyof typeof ATTRIBUTE, value: string): AttributeTypeAndValue =>
  new AttributeTypeAndValue({ type: ATTRIBUTE[kind], value: new Utf8String({ value }) })

/** Bits of keyUsage, from the left (RFC 5280, 4.2.1.3). */
const USAGES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
] as const
export type Usage = (typeof USAGES)[number]

export interface CertificateParts {
  readonly subject?: AttributeTypeAndValue[]
  readonly altNames?: GeneralName[]
  readonly altNamesCritical?: boolean
  /** `'absent'`: no basicConstraints at all. */
  readonly authority?: boolean | 'absent'
  readonly keyUsage?: readonly Usage[] | 'absent'
  readonly keyUsageCritical?: boolean
  readonly purposes?: readonly string[]
  readonly pathLength?: number
  /** Self-signed without. */
  readonly issuer?: Issued | undefined
  /** What the issuer is called in it, where that is not its name. */
  readonly issuerName?: RelativeDistinguishedNames
  /** Of the issuer, as it stands in it; that of `issuer` by default. */
  readonly authorityKeyId?: ArrayBuffer
  readonly subjectKeyId?: ArrayBuffer
  readonly keys?: CryptoKeyPair
  readonly beginsAt?: number
  readonly endsAt?: number
  readonly more?: readonly Extension[]
}

export interface Issued {
  readonly x509: X509Certificate
  readonly cert: string
  readonly key: string
  readonly keys: CryptoKeyPair
  readonly name: RelativeDistinguishedNames
  readonly keyId: ArrayBuffer
}

/** A P-256 key pair. */
export function newKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify'])
}

/** Keys for certificates where it does not matter whose they are. */
const COMMON_KEYS = await newKeys()

/** By default the certificate of a leaf that X.509-SVID has nothing against but that it has no id. */
export async function issue(parts: CertificateParts): Promise<Issued> {
  const keys = parts.keys ?? COMMON_KEYS
  const { issuer, beginsAt = NOW - 2 * DAY_MS, endsAt = NOW + DAY_MS } = parts
  const subject = nameOf(parts.subject ?? [attribute('CN', 'acme')])
  const certificate = new Certificate({
    version: 2,
    serialNumber: new Integer({ valueHex: serialNumber() }),
    subject,
    issuer: parts.issuerName ?? issuer?.name ?? subject,
    notBefore: new Time({ value: new Date(beginsAt) }),
    notAfter: new Time({ value: new Date(endsAt) }),
  })
  await certificate.subjectPublicKeyInfo.importKey(keys.publicKey)
  const keyId = parts.subjectKeyId ?? (await certificate.getKeyHash())
  const issuerKeyId = parts.authorityKeyId ?? issuer?.keyId
  certificate.extensions = extensionsOf(parts, keyId, issuerKeyId)
  await certificate.sign((issuer?.keys ?? keys).privateKey, 'SHA-256')
  const x509 = new X509Certificate(Buffer.from(certificate.toSchema().toBER()))
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' })
  return { x509, cert: x509.toString(), key, keys, name: subject, keyId }
}

/** Positive, without a leading zero byte. */
function serialNumber(): Uint8Array<ArrayBuffer> {
  const bytes = crypto.getRandomValues(new Uint8Array(8))
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes
}

/** A certificate authority with that common name; with `issuer` an intermediate one. */
export async function authority(commonName: string, parts: CertificateParts = {}): Promise<Issued> {
  return issue({
    subject: [attribute('CN', commonName)],
    authority: true,
    keyUsage: ['keyCertSign', 'cRLSign'],
    keys: await newKeys(),
    ...parts,
  })
}

/** The X.509-SVID of a client. */
export async function svid(
  id: string,
  issuer: Issued,
  parts: CertificateParts = {},
): Promise<Issued> {
  return issue({
    altNames: [uri(id)],
    issuer,
    keys: await newKeys(),
    purposes: [SERVER_AUTH, CLIENT_AUTH],
    ...parts,
  })
}

function extensionsOf(
  parts: CertificateParts,
  keyId: ArrayBuffer,
  issuerKeyId: ArrayBuffer | undefined,
): Extension[] {
  const { altNames = [], altNamesCritical = false, authority: cA = false, purposes } = parts
  const { keyUsage = ['digitalSignature'], keyUsageCritical = true, pathLength, more = [] } = parts
  const list: Extension[] = []
  if (cA !== 'absent') {
    const length = pathLength === undefined ? {} : { pathLenConstraint: pathLength }
    list.push(extension(id_BasicConstraints, new BasicConstraints({ cA, ...length }), true))
  }
  if (keyUsage !== 'absent')
    list.push(extension(id_KeyUsage, usageBits(keyUsage), keyUsageCritical))
  if (purposes !== undefined)
    list.push(extension(id_ExtKeyUsage, new ExtKeyUsage({ keyPurposes: [...purposes] })))
  if (altNames.length > 0)
    list.push(extension(id_SubjectAltName, new GeneralNames({ names: altNames }), altNamesCritical))
  list.push(extension(id_SubjectKeyIdentifier, new OctetString({ valueHex: keyId })))
  if (issuerKeyId !== undefined) {
    const keyIdentifier = new OctetString({ valueHex: issuerKeyId })
    list.push(extension(id_AuthorityKeyIdentifier, new AuthorityKeyIdentifier({ keyIdentifier })))
  }
  return [...list, ...more]
}

function usageBits(usages: readonly Usage[]): BitString {
  const bits = usages.reduce((sum, usage) => sum | (0x80 >> USAGES.indexOf(usage)), 0)
  const unusedBits = bits === 0 ? 0 : 31 - Math.clz32(bits & -bits)
  return new BitString({ valueHex: Uint8Array.of(bits).buffer, unusedBits })
}

/** Each attribute by itself, as nearly everybody has it; pkijs writes them as one of several parts. */
function nameOf(attributes: readonly AttributeTypeAndValue[]): RelativeDistinguishedNames {
  const value = attributes.map(part => new Asn1Set({ value: [part.toSchema()] }))
  return RelativeDistinguishedNames.fromBER(new Sequence({ value }).toBER())
}

export function extension(
  extnID: string,
  value: BaseBlock | { toSchema(): BaseBlock },
  critical = false,
): Extension {
  const block = 'toSchema' in value ? value.toSchema() : value
  return new Extension({ extnID, critical, extnValue: block.toBER() })
}
