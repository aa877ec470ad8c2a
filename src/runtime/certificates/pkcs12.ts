/** PKCS#12 (RFC 7292): certificate, authority and key in one file with a password, as browsers and key stores import it. */
import { Buffer } from 'node:buffer'
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { BmpString, OctetString } from 'asn1js'
import {
  Attribute,
  AuthenticatedSafe,
  CertBag,
  Certificate,
  PFX,
  PKCS8ShroudedKeyBag,
  PrivateKeyInfo,
  SafeBag,
  SafeContents,
} from 'pkijs'
import type { KeyedCertificate } from './issue.ts'

const OID = {
  friendlyName: '1.2.840.113549.1.9.20',
  localKeyId: '1.2.840.113549.1.9.21',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certBag: '1.2.840.113549.1.12.10.1.3',
} as const

/** Of the key's encryption and of the MAC each. */
const ITERATIONS = 10_000
/** What pkijs calls contents that are not encrypted, and integrity by password. */
const [PLAIN, BY_PASSWORD] = [0, 0]

export interface Pkcs12Options {
  readonly password: string
  /** Shown by key stores. */
  readonly name: string
  /** PEM of the authority, so that an importer has the whole chain. */
  readonly authority: string
}

/** The file's bytes. The key is encrypted (PBES2, AES-256); certificates are public and are not. */
export async function createPkcs12(
  keyed: KeyedCertificate,
  options: Pkcs12Options,
): Promise<Buffer> {
  const password = new TextEncoder().encode(options.password).buffer
  const fingerprint = createHash('sha1').update(new X509Certificate(keyed.cert).raw).digest()
  const bagAttributes = [
    new Attribute({ type: OID.friendlyName, values: [new BmpString({ value: options.name })] }),
    new Attribute({ type: OID.localKeyId, values: [new OctetString({ valueHex: fingerprint })] }),
  ]
  const certificates = [
    new SafeBag({ bagId: OID.certBag, bagValue: certBag(keyed.cert), bagAttributes }),
    new SafeBag({ bagId: OID.certBag, bagValue: certBag(options.authority) }),
  ]
  const bagValue = await keyBag(keyed.key, password)
  const keys = [new SafeBag({ bagId: OID.shroudedKeyBag, bagValue, bagAttributes })]
  return Buffer.from(await encode([certificates, keys], password))
}

function certBag(pem: string): CertBag {
  return new CertBag({ parsedValue: Certificate.fromBER(new X509Certificate(pem).raw) })
}

async function keyBag(pem: string, password: ArrayBuffer): Promise<PKCS8ShroudedKeyBag> {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' })
  const bag = new PKCS8ShroudedKeyBag({ parsedValue: PrivateKeyInfo.fromBER(der) })
  await bag.makeInternalValues({
    password,
    // The types ask for `iv`; pkijs makes a random one itself.
    contentEncryptionAlgorithm: { name: 'AES-CBC', length: 256, iv: new Uint8Array(16) },
    hmacHashAlgorithm: 'SHA-256',
    iterationCount: ITERATIONS,
  })
  return bag
}

async function encode(contents: SafeBag[][], password: ArrayBuffer): Promise<ArrayBuffer> {
  const safeContents = contents.map(safeBags => ({
    privacyMode: PLAIN,
    value: new SafeContents({ safeBags }),
  }))
  const authenticatedSafe = new AuthenticatedSafe({ parsedValue: { safeContents } })
  await authenticatedSafe.makeInternalValues({ safeContents: contents.map(() => ({})) })
  const file = new PFX({ parsedValue: { integrityMode: BY_PASSWORD, authenticatedSafe } })
  await file.makeInternalValues({
    password,
    iterations: ITERATIONS,
    pbkdf2HashAlgorithm: 'SHA-256',
    hmacHashAlgorithm: 'SHA-256',
  })
  return file.toSchema().toBER()
}
