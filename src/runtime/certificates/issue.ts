/**
 * A development authority and the certificates that it issues: X.509 v3 as RFC 5280 wants it, tenants' ones as X.509-SVID
 * wants them.
 */
import { Buffer } from 'node:buffer'
import { createHash, KeyObject, randomBytes, X509Certificate } from 'node:crypto'
import { BitString, Integer, OctetString, Utf8String } from 'asn1js'
import {
  AttributeTypeAndValue,
  BasicConstraints,
  Certificate,
  type Extension,
  ExtKeyUsage,
  GeneralName,
  GeneralNames,
  id_BasicConstraints,
  id_ExtKeyUsage,
  id_KeyUsage,
  id_SubjectAltName,
  id_SubjectKeyIdentifier,
  RelativeDistinguishedNames,
} from 'pkijs'
import { ipv4Octets, ipv6Groups } from '../../codec/ip-address.ts'
import { type KeyType, newKeys, signingKey } from './key-types.ts'
import {
  authorityKeyIdentifier,
  BACKDATE_MS,
  DAY_MS,
  extension,
  keyIdOf,
  time,
} from './x509-parts.ts'

export const AUTHORITY_DAYS = 3_650
export const LEAF_DAYS = 365

const COMMON_NAME = '2.5.4.3'
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

/** Kinds of `GeneralName` (RFC 5280, 4.2.1.6). */
const ALTERNATIVE = { dns: 2, uri: 6, ip: 7 } as const

/** Bits of `keyUsage`, from the left (RFC 5280, 4.2.1.3). */
const SIGN_MESSAGES = new BitString({ valueHex: Uint8Array.of(0b1000_0000), unusedBits: 7 })
const SIGN_CERTIFICATES_AND_LISTS = new BitString({
  valueHex: Uint8Array.of(0b0000_0110),
  unusedBits: 1,
})

/** A certificate and its private key, both PEM; the key is PKCS#8 and not encrypted. */
export interface KeyedCertificate {
  readonly cert: string
  readonly key: string
}

/** What may be said of anything that is made. */
export interface IssueOptions {
  /** How long it is good from now on. */
  readonly days?: number
  /** Of the new key; `ec` by default. */
  readonly keyType?: KeyType
}

/** A new authority, good for ten years by default. */
export async function createAuthority(
  commonName: string,
  now: number,
  { days = AUTHORITY_DAYS, keyType = 'ec' }: IssueOptions = {},
): Promise<KeyedCertificate> {
  const keys = await newKeys(keyType)
  const certificate = await blank(keys, commonName, now, days)
  certificate.issuer = certificate.subject
  const keyId = await certificate.getKeyHash()
  certificate.extensions = [
    extension(id_BasicConstraints, new BasicConstraints({ cA: true, pathLenConstraint: 0 }), true),
    extension(id_KeyUsage, SIGN_CERTIFICATES_AND_LISTS, true),
    ...keyIdentifiers(keyId, keyId),
  ]
  return signed(certificate, keys.privateKey, keys)
}

/** Names may begin with `*.`; addresses are IPv4 or IPv6. At least one of either. */
export interface ServerSubject {
  readonly names: readonly string[]
  readonly addresses: readonly string[]
}

/** A certificate for a listener, good for a year by default. Rejects with a `RangeError` for an address that is none. */
export async function issueServerCertificate(
  authority: KeyedCertificate,
  { names, addresses }: ServerSubject,
  now: number,
  options: IssueOptions = {},
): Promise<KeyedCertificate> {
  const subject = names[0] ?? addresses[0]
  if (subject === undefined) throw new RangeError('a server certificate needs a name or an address')
  const alternatives = [
    ...names.map(value => new GeneralName({ type: ALTERNATIVE.dns, value })),
    ...addresses.map(addressName),
  ]
  return issueLeaf(authority, { subject, usage: SERVER_AUTH, alternatives, now, ...options })
}

/** A tenant's client certificate with that SPIFFE id, good for a year by default. */
export async function issueTenantCertificate(
  authority: KeyedCertificate,
  { tenant, spiffeId }: { readonly tenant: string; readonly spiffeId: string },
  now: number,
  options: IssueOptions = {},
): Promise<KeyedCertificate> {
  // X.509-SVID: exactly one URI, and no other name that a verifier might take for the identity.
  const alternatives = [new GeneralName({ type: ALTERNATIVE.uri, value: spiffeId })]
  return issueLeaf(authority, {
    subject: tenant,
    usage: CLIENT_AUTH,
    alternatives,
    now,
    ...options,
  })
}

/** `sha256:<hex>` of the DER form: what `certificate:` credentials pin. */
export function certificateDigest(cert: string): string {
  return `sha256:${createHash('sha256').update(new X509Certificate(cert).raw).digest('hex')}`
}

interface Leaf extends IssueOptions {
  readonly subject: string
  readonly usage: string
  readonly alternatives: GeneralName[]
  readonly now: number
}

async function issueLeaf(
  authority: KeyedCertificate,
  { subject, usage, alternatives, now, days = LEAF_DAYS, keyType = 'ec' }: Leaf,
): Promise<KeyedCertificate> {
  const issuer = Certificate.fromBER(new X509Certificate(authority.cert).raw)
  const signer = await signingKey(authority.key)
  const keys = await newKeys(keyType)
  // A common name holds 64 characters at most (RFC 5280, appendix A.1); the names that count are in subjectAltName.
  const certificate = await blank(keys, subject.slice(0, 64), now, days)
  certificate.issuer = issuer.subject
  certificate.extensions = [
    extension(id_BasicConstraints, new BasicConstraints({ cA: false }), true),
    extension(id_KeyUsage, SIGN_MESSAGES, true),
    extension(id_ExtKeyUsage, new ExtKeyUsage({ keyPurposes: [usage] })),
    extension(id_SubjectAltName, new GeneralNames({ names: alternatives })),
    ...keyIdentifiers(await certificate.getKeyHash(), await keyIdOf(issuer)),
  ]
  return signed(certificate, signer, keys)
}

/** A certificate for that key, without issuer, extensions and signature. */
async function blank(
  keys: CryptoKeyPair,
  commonName: string,
  now: number,
  days: number,
): Promise<Certificate> {
  const name = new AttributeTypeAndValue({
    type: COMMON_NAME,
    value: new Utf8String({ value: commonName }),
  })
  const certificate = new Certificate({
    version: 2, // counted from 0: X.509 v3
    serialNumber: new Integer({ valueHex: serialNumber() }),
    subject: new RelativeDistinguishedNames({ typesAndValues: [name] }),
    notBefore: time(now - BACKDATE_MS),
    notAfter: time(now + days * DAY_MS),
  })
  await certificate.subjectPublicKeyInfo.importKey(keys.publicKey)
  return certificate
}

async function signed(
  certificate: Certificate,
  signer: CryptoKey,
  { privateKey }: CryptoKeyPair,
): Promise<KeyedCertificate> {
  await certificate.sign(signer, 'SHA-256')
  return {
    cert: new X509Certificate(Buffer.from(certificate.toSchema().toBER())).toString(),
    key: KeyObject.from(privateKey).export({ type: 'pkcs8', format: 'pem' }),
  }
}

/** Positive, without a leading zero byte, more than 64 random bits (CA/Browser Forum, 7.1). */
function serialNumber(): Buffer {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes
}

function addressName(address: string): GeneralName {
  const bytes =
    ipv4Octets(address) ?? ipv6Groups(address)?.flatMap(group => [group >> 8, group & 255])
  if (bytes === undefined) throw new RangeError(`${address} is not an IP address`)
  const value = new OctetString({ valueHex: Uint8Array.from(bytes) })
  return new GeneralName({ type: ALTERNATIVE.ip, value })
}

/** SHA-1 of a public key's bits: method 1 of RFC 5280, 4.2.1.2. It names a key and protects nothing. */
function keyIdentifiers(subject: BufferSource, authority: BufferSource): Extension[] {
  return [
    extension(id_SubjectKeyIdentifier, new OctetString({ valueHex: subject })),
    authorityKeyIdentifier(authority),
  ]
}
