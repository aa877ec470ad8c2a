/**
 * What an X.509 certificate says about its own use: a walk over its DER (RFC 5280, section 4.1) that reads four extensions
 * and skips the rest. Strict: of what is not DER, or stands there twice, nothing is taken. It takes 2 µs, a full parse
 * by pkijs 600.
 *
 * Node's `X509Certificate` does not say enough: its `ca` is false for a certificate with the CA flag whose key usage
 * forbids signing, its `keyUsage` is the extended key usage, and whether an extension is critical it does not tell.
 */
import { Buffer } from 'node:buffer'

export interface CertificateFacts {
  /** The `cA` flag of basicConstraints, whatever else stands in the certificate. */
  readonly authority: boolean
  /** Bits of keyUsage, see `KEY_USAGE`; `undefined` where there is no such extension. */
  readonly keyUsage: number | undefined
  readonly keyUsageCritical: boolean
  /** Whether extendedKeyUsage names clientAuth; `undefined` where there is no such extension. */
  readonly clientAuth: boolean | undefined
  /** URIs in subjectAltName, one character a byte. */
  readonly uris: readonly string[]
  readonly alternativeNamesCritical: boolean
  /** Whether the subject is there and not empty. */
  readonly named: boolean
}

/** Bits of `CertificateFacts.keyUsage`: the first byte of the BIT STRING (RFC 5280, 4.2.1.3). */
export const KEY_USAGE = { digitalSignature: 0x80, keyCertSign: 0x04, cRLSign: 0x02 } as const

/** Of everything whose number we look at; more names than that is nobody's certificate. */
const MAX_ELEMENTS = 256

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  sequence: 0x30,
  version: 0xa0,
  issuerId: 0x81,
  subjectId: 0x82,
  extensions: 0xa3,
  uri: 0x86,
} as const

/** Tags of the kinds of GeneralName (RFC 5280, 4.2.1.6). */
const GENERAL_NAMES: ReadonlySet<number> = new Set([
  0xa0,
  0x81,
  0x82,
  0xa3,
  0xa4,
  0xa5,
  TAG.uri,
  0x87,
  0x88,
])

/** Last byte of the object identifiers 2.5.29.N. */
const EXTENSION = {
  keyUsage: 0x0f,
  alternativeNames: 0x11,
  basicConstraints: 0x13,
  extendedKeyUsage: 0x25,
} as const

/** 1.3.6.1.5.5.7.3.2 */
const CLIENT_AUTH = Buffer.from('2b06010505070302', 'hex')

/** `undefined` where `der` is no certificate in DER. Never throws. */
export function readCertificateFacts(der: Uint8Array): CertificateFacts | undefined {
  try {
    return certificate(new Elements(der, 0, der.length))
  } catch (error) {
    if (error === NOT_DER) return undefined
    throw error
  }
}

/** Thrown inside of this file only. */
const NOT_DER = new Error('not DER')

/** A run of DER elements, read one after the other. */
class Elements {
  readonly bytes: Uint8Array
  readonly #end: number
  #at: number
  #count = 0
  /** Where the content of the last element begins and ends. */
  start = 0
  end = 0

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.bytes = bytes
    this.#at = start
    this.#end = end
  }

  get done(): boolean {
    return this.#at === this.#end
  }

  /** The tag of the next element; -1 where there is none. */
  get tag(): number {
    return this.#at < this.#end ? (this.bytes[this.#at] as number) : -1
  }

  /** Goes on behind the next element, which must have this tag. */
  take(tag: number): this {
    if (this.tag !== tag) throw NOT_DER
    return this.skip()
  }

  /** The elements in the next one, which must have this tag. */
  enter(tag: number): Elements {
    this.take(tag)
    return new Elements(this.bytes, this.start, this.end)
  }

  /** Goes on behind the next element, whatever that is. */
  skip(): this {
    this.#count += 1
    // The low five bits all set: the tag goes on in the next byte, which no element of a certificate needs.
    if (this.#count > MAX_ELEMENTS || this.#at + 2 > this.#end || (this.tag & 0x1f) === 0x1f)
      throw NOT_DER
    const first = this.bytes[this.#at + 1] as number
    this.#at += 2
    const length = first < 0x80 ? first : this.#longLength(first & 0x7f)
    if (length > this.#end - this.#at) throw NOT_DER
    this.start = this.#at
    this.end = this.#at + length
    this.#at = this.end
    return this
  }

  /** DER wants the shortest form, and a length that is known from the start (X.690, 10.1). */
  #longLength(octets: number): number {
    if (octets === 0 || octets > 3 || this.#at + octets > this.#end) throw NOT_DER
    let length = 0
    for (let i = 0; i < octets; i++) length = (length << 8) | (this.bytes[this.#at + i] as number)
    if (length < 0x80 || length < 2 ** (8 * (octets - 1))) throw NOT_DER
    this.#at += octets
    return length
  }
}

function certificate(file: Elements): CertificateFacts {
  const outer = file.enter(TAG.sequence)
  if (!file.done) throw NOT_DER
  const body = outer.enter(TAG.sequence)
  outer.take(TAG.sequence).take(TAG.bits)
  if (!outer.done) throw NOT_DER
  if (body.tag === TAG.version) body.skip()
  // Serial number, algorithm, issuer, validity, subject and key.
  body.take(TAG.integer).take(TAG.sequence).take(TAG.sequence).take(TAG.sequence)
  body.take(TAG.sequence)
  const facts = new Facts(body.end > body.start)
  body.take(TAG.sequence)
  if (body.tag === TAG.issuerId) body.skip()
  if (body.tag === TAG.subjectId) body.skip()
  if (body.done) return facts
  const wrapper = body.enter(TAG.extensions)
  const extensions = wrapper.enter(TAG.sequence)
  if (!wrapper.done || !body.done) throw NOT_DER
  while (!extensions.done) facts.read(extensions.enter(TAG.sequence))
  return facts
}

class Facts implements CertificateFacts {
  authority = false
  keyUsage: number | undefined = undefined
  keyUsageCritical = false
  clientAuth: boolean | undefined = undefined
  readonly uris: string[] = []
  alternativeNamesCritical = false
  readonly named: boolean
  /** Extensions that have been read: each may be there once (RFC 5280, 4.2). */
  #seen = 0

  constructor(named: boolean) {
    this.named = named
  }

  read(extension: Elements): void {
    const { bytes, start, end } = extension.take(TAG.oid)
    const known = end - start === 3 && bytes[start] === 0x55 && bytes[start + 1] === 0x1d
    const id = known ? (bytes[start + 2] as number) : -1
    const critical = extension.tag === TAG.boolean && flag(extension.take(TAG.boolean))
    extension.take(TAG.octets)
    if (!extension.done) throw NOT_DER
    this.#value(id, critical, new Elements(bytes, extension.start, extension.end))
  }

  #value(id: number, critical: boolean, value: Elements): void {
    switch (id) {
      case EXTENSION.keyUsage:
        this.#once(1)
        this.keyUsage = firstBits(value.take(TAG.bits))
        this.keyUsageCritical = critical
        break
      case EXTENSION.basicConstraints:
        this.#once(2)
        this.authority = authorityFlag(value.enter(TAG.sequence))
        break
      case EXTENSION.extendedKeyUsage:
        this.#once(4)
        this.clientAuth = namesClientAuth(value.enter(TAG.sequence))
        break
      case EXTENSION.alternativeNames:
        this.#once(8)
        this.#names(value.enter(TAG.sequence))
        this.alternativeNamesCritical = critical
        break
      default:
        return
    }
    if (!value.done) throw NOT_DER
  }

  #once(bit: number): void {
    if ((this.#seen & bit) !== 0) throw NOT_DER
    this.#seen |= bit
  }

  #names(names: Elements): void {
    while (!names.done) {
      const { tag } = names
      if (!GENERAL_NAMES.has(tag)) throw NOT_DER
      const { bytes, start, end } = names.skip()
      if (tag === TAG.uri) this.uris.push(latin1(bytes, start, end))
    }
  }
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}

function flag({ bytes, start, end }: Elements): boolean {
  const value = bytes[start]
  // 0 is the default, which DER leaves out, but some issuers write it.
  if (end - start !== 1 || (value !== 0 && value !== 0xff)) throw NOT_DER
  return value === 0xff
}

function authorityFlag(constraints: Elements): boolean {
  const authority = constraints.tag === TAG.boolean && flag(constraints.take(TAG.boolean))
  if (constraints.tag === TAG.integer) constraints.skip()
  if (!constraints.done) throw NOT_DER
  return authority
}

/** The first eight bits of a BIT STRING whose unused bits are zero, as DER wants them (X.690, 11.2). */
function firstBits({ bytes, start, end }: Elements): number {
  if (end === start) throw NOT_DER
  const unused = bytes[start] as number
  const last = end - start === 1 ? 0xff : (bytes[end - 1] as number)
  if (unused > 7 || (last & (2 ** unused - 1)) !== 0) throw NOT_DER
  return end - start === 1 ? 0 : (bytes[start + 1] as number)
}

function namesClientAuth(purposes: Elements): boolean {
  let found = false
  while (!purposes.done) {
    const { bytes, start, end } = purposes.take(TAG.oid)
    found ||= CLIENT_AUTH.equals(bytes.subarray(start, end))
  }
  return found
}
