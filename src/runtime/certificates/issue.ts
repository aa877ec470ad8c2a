/**
 * A development authority and the certificates that it issues: EC P-256, X.509 v3 as RFC 5280 wants it, tenants' ones as
 * X.509-SVID wants them. They are put together here and signed by node:crypto, because node-forge signs with RSA alone
 * and the library that does more brings a dozen others into a proxy, for three templates that a developer's machine uses.
 */
import { Buffer } from 'node:buffer'
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto'
import { isIP } from 'node:net'
import { addressBytes } from './address-bytes.ts'
import {
  bigInteger,
  bitString,
  boolean,
  type DerElement,
  integer,
  objectId,
  octetString,
  readDer,
  sequence,
  set,
  tagged,
  taggedBytes,
  time,
  utf8String,
} from './der.ts'

const DAY_MS = 86_400_000
const AUTHORITY_DAYS = 3_650
const LEAF_DAYS = 365
/** Clocks of the machines that see a new certificate may be behind. */
const BACKDATE_MS = 5 * 60_000

const OID = {
  commonName: '2.5.4.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const

/** Bits of `keyUsage`, from the left, with the number of bits that are unused (RFC 5280, 4.2.1.3). */
const SIGN_MESSAGES = bitString(Buffer.of(0b1000_0000), 7)
const SIGN_CERTIFICATES_AND_LISTS = bitString(Buffer.of(0b0000_0110), 1)

/** A certificate and its private key, both PEM; the key is PKCS#8 and not encrypted. */
export interface KeyedCertificate {
  readonly cert: string
  readonly key: string
}

/** A new authority, good for ten years. */
export function createAuthority(commonName: string, now: number): KeyedCertificate {
  const key = newKey()
  const name = distinguishedName(commonName)
  const keyId = keyIdentifier(key.publicKey)
  return signCertificate({
    issuer: name,
    subject: name,
    key,
    signer: key.privateKey,
    notBefore: now - BACKDATE_MS,
    notAfter: now + AUTHORITY_DAYS * DAY_MS,
    extensions: [
      extension(OID.basicConstraints, true, sequence(boolean(true), integer(0))),
      extension(OID.keyUsage, true, SIGN_CERTIFICATES_AND_LISTS),
      extension(OID.subjectKeyId, false, octetString(keyId)),
      extension(OID.authorityKeyId, false, sequence(taggedBytes(0, keyId))),
    ],
  })
}

/** Names may begin with `*.`; addresses are IPv4 or IPv6. At least one of either. */
export interface ServerSubject {
  readonly names: readonly string[]
  readonly addresses: readonly string[]
}

/** A certificate for a listener, good for a year. Throws a `RangeError` for an address that is none. */
export function issueServerCertificate(
  authority: KeyedCertificate,
  { names, addresses }: ServerSubject,
  now: number,
): KeyedCertificate {
  const subject = names[0] ?? addresses[0]
  if (subject === undefined) throw new RangeError('a server certificate needs a name or an address')
  const bad = addresses.find(address => isIP(address) === 0)
  if (bad !== undefined) throw new RangeError(`${bad} is not an IP address`)
  const alternatives = [
    ...names.map(name => taggedBytes(2, Buffer.from(name, 'latin1'))),
    ...addresses.map(address => taggedBytes(7, addressBytes(address))),
  ]
  return issueLeaf(authority, { subject, usage: OID.serverAuth, alternatives, now })
}

/** A tenant's client certificate with that SPIFFE id, good for a year. */
export function issueTenantCertificate(
  authority: KeyedCertificate,
  { tenant, spiffeId }: { readonly tenant: string; readonly spiffeId: string },
  now: number,
): KeyedCertificate {
  // X.509-SVID: exactly one URI, and no other name that a verifier might take for the identity.
  const alternatives = [taggedBytes(6, Buffer.from(spiffeId, 'latin1'))]
  return issueLeaf(authority, { subject: tenant, usage: OID.clientAuth, alternatives, now })
}

/** `sha256:<hex>` of the DER form: what `certificate:` credentials pin. */
export function certificateDigest(cert: string): string {
  return `sha256:${createHash('sha256').update(new X509Certificate(cert).raw).digest('hex')}`
}

interface Leaf {
  readonly subject: string
  readonly usage: string
  readonly alternatives: Buffer[]
  readonly now: number
}

function issueLeaf(authority: KeyedCertificate, leaf: Leaf): KeyedCertificate {
  const { name, keyId } = issuerOf(authority.cert)
  const key = newKey()
  return signCertificate({
    issuer: name,
    // A common name holds 64 characters at most (RFC 5280, appendix A.1); the names that count are in subjectAltName.
    subject: distinguishedName(leaf.subject.slice(0, 64)),
    key,
    signer: createPrivateKey(authority.key),
    notBefore: leaf.now - BACKDATE_MS,
    notAfter: leaf.now + LEAF_DAYS * DAY_MS,
    extensions: [
      extension(OID.basicConstraints, true, sequence()), // CA=false is the default, and DER leaves defaults out
      extension(OID.keyUsage, true, SIGN_MESSAGES),
      extension(OID.extendedKeyUsage, false, sequence(objectId(leaf.usage))),
      extension(OID.subjectAltName, false, sequence(...leaf.alternatives)),
      extension(OID.subjectKeyId, false, octetString(keyIdentifier(key.publicKey))),
      extension(OID.authorityKeyId, false, sequence(taggedBytes(0, keyId))),
    ],
  })
}

interface Template {
  readonly issuer: Buffer
  readonly subject: Buffer
  readonly key: { readonly publicKey: KeyObject; readonly privateKey: KeyObject }
  readonly signer: KeyObject
  readonly notBefore: number
  readonly notAfter: number
  readonly extensions: Buffer[]
}

function signCertificate(template: Template): KeyedCertificate {
  const algorithm = sequence(objectId(OID.ecdsaWithSha256))
  const toBeSigned = sequence(
    tagged(0, integer(2)), // version 3
    bigInteger(serialNumber()),
    algorithm,
    template.issuer,
    sequence(time(new Date(template.notBefore)), time(new Date(template.notAfter))),
    template.subject,
    template.key.publicKey.export({ type: 'spki', format: 'der' }),
    tagged(3, sequence(...template.extensions)),
  )
  const signature = sign('sha256', toBeSigned, template.signer)
  const der = sequence(toBeSigned, algorithm, bitString(signature))
  return {
    cert: new X509Certificate(der).toString(),
    key: template.key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
  }
}

function newKey(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

/** Positive, without a leading zero byte, more than 64 random bits (CA/Browser Forum, 7.1). */
function serialNumber(): Buffer {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes
}

function distinguishedName(commonName: string): Buffer {
  return sequence(set(sequence(objectId(OID.commonName), utf8String(commonName))))
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return sequence(objectId(id), ...(critical ? [boolean(true)] : []), octetString(value))
}

/** SHA-1 of the public key's bits: method 1 of RFC 5280, 4.2.1.2. It names a key and protects nothing. */
function keyIdentifier(key: KeyObject): Buffer {
  const bits = parts(key.export({ type: 'spki', format: 'der' }))[1]?.content.subarray(1)
  return createHash('sha1')
    .update(bits ?? Buffer.alloc(0))
    .digest()
}

/** Name and key identifier of an authority, byte for byte as they stand in its certificate. */
function issuerOf(cert: string): { name: Buffer; keyId: Buffer } {
  const fields = parts(parts(new X509Certificate(cert).raw)[0]?.raw)
  const name = fields[5]?.raw // version, serial, algorithm, issuer, validity, subject
  if (name === undefined) throw new Error('the certificate of the authority has no subject')
  const wanted = objectId(OID.subjectKeyId)
  const found = parts(fields.at(-1)?.content).find(entry => parts(entry.raw)[0]?.raw.equals(wanted))
  const value = parts(found?.raw).at(-1)?.content // an OCTET STRING in an OCTET STRING
  const keyId = value && readDer(value)[0]?.content
  return { name, keyId: keyId ?? keyIdentifier(createPublicKey(cert)) }
}

/** The elements inside the one element that `der` is. */
function parts(der: Buffer | undefined): DerElement[] {
  const outer = der && readDer(der)[0]
  return outer ? readDer(outer.content) : []
}
