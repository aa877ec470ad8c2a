/**
 * PKCS#12 (RFC 7292): certificate, authority and key in one file with a password, as browsers and key stores import it.
 * Node reads this form and cannot write it; the libraries that write it take RSA keys only.
 */
import { Buffer } from 'node:buffer'
import { createHash, createHmac, createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import {
  bigEndian16,
  bmpString,
  integer,
  nothing,
  objectId,
  octetString,
  sequence,
  set,
  tagged,
} from './der.ts'
import type { KeyedCertificate } from './issue.ts'

const OID = {
  data: '1.2.840.113549.1.7.1',
  friendlyName: '1.2.840.113549.1.9.20',
  localKeyId: '1.2.840.113549.1.9.21',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certBag: '1.2.840.113549.1.12.10.1.3',
  sha256: '2.16.840.1.101.3.4.2.1',
} as const

const MAC_ITERATIONS = 10_000
/** Block of SHA-256, to which appendix B.2 fills up salt and password. */
const BLOCK_BYTES = 64

export interface Pkcs12Options {
  readonly password: string
  /** Shown by key stores. */
  readonly name: string
  /** PEM of the authority, so that an importer has the whole chain. */
  readonly authority: string
}

/** The file's bytes. The key is encrypted (PBES2, AES-256); certificates are public and are not. */
export function createPkcs12(keyed: KeyedCertificate, options: Pkcs12Options): Buffer {
  const certificate = new X509Certificate(keyed.cert)
  const attributes = set(
    sequence(objectId(OID.friendlyName), set(bmpString(options.name))),
    sequence(objectId(OID.localKeyId), set(octetString(fingerprint(certificate)))),
  )
  const key = createPrivateKey(keyed.key).export({
    type: 'pkcs8',
    format: 'der',
    cipher: 'aes-256-cbc',
    passphrase: options.password,
  })
  const certificates = sequence(
    certificateBag(certificate, attributes),
    certificateBag(new X509Certificate(options.authority), set()),
  )
  const keys = sequence(sequence(objectId(OID.shroudedKeyBag), tagged(0, key), attributes))
  const contents = sequence(data(certificates), data(keys))
  return sequence(integer(3), data(contents), integrity(contents, options.password))
}

function certificateBag(certificate: X509Certificate, attributes: Buffer): Buffer {
  const value = sequence(objectId(OID.x509Certificate), tagged(0, octetString(certificate.raw)))
  return sequence(objectId(OID.certBag), tagged(0, value), attributes)
}

function data(bytes: Buffer): Buffer {
  return sequence(objectId(OID.data), tagged(0, octetString(bytes)))
}

function fingerprint(certificate: X509Certificate): Buffer {
  return createHash('sha1').update(certificate.raw).digest()
}

function integrity(contents: Buffer, password: string): Buffer {
  const salt = randomBytes(16)
  const mac = createHmac('sha256', macKey(password, salt)).update(contents).digest()
  const digest = sequence(sequence(objectId(OID.sha256), nothing()), octetString(mac))
  return sequence(digest, octetString(salt), integer(MAC_ITERATIONS))
}

/** RFC 7292, appendix B.2 for purpose 3 (MAC). The key is as long as one SHA-256, so the first round is the whole of it. */
function macKey(password: string, salt: Buffer): Buffer {
  const purpose = Buffer.alloc(BLOCK_BYTES, 3)
  let key = Buffer.concat([purpose, fill(salt), fill(bigEndian16(`${password}\0`))])
  for (let i = 0; i < MAC_ITERATIONS; i += 1) key = createHash('sha256').update(key).digest()
  return key
}

/** Copies of `bytes`, the last one cut, up to the next whole block. */
function fill(bytes: Buffer): Buffer {
  return Buffer.alloc(Math.ceil(bytes.length / BLOCK_BYTES) * BLOCK_BYTES, bytes)
}
