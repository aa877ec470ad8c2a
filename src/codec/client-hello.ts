/**
 * The ClientHello with which a TLS connection begins (RFC 8446 §4.1.2), read without taking part in the handshake: whom
 * the client asks for. Pure: bytes in, what it says or a refusal out. No byte is ever changed: whoever carries a
 * connection on sends `bytes` as they came, an Encrypted ClientHello with its outer name included.
 *
 * The answer never depends on how the bytes were cut, into packets or into records.
 */
import { type ClientHello, parseClientHello } from './client-hello-message.ts'
import { Gathered } from './gathered.ts'

/** The message. Clients with post-quantum keys send 1.8 KB, those with large session tickets some 10 KB. */
export const MAX_CLIENT_HELLO_BYTES: number = 16 * 1024
/** With the headers of its records: one a byte of a small message, which is legal and is what an attacker would send. */
export const MAX_CLIENT_HELLO_RAW_BYTES: number = 64 * 1024

export type HelloFault =
  /** No TLS record stands there. */
  | 'not_tls'
  /** The form that SSL 2.0 had, which can name nobody (RFC 5246 appendix E.2). */
  | 'sslv2'
  /** A TLS record, and no ClientHello in it. */
  | 'not_client_hello'
  | 'too_long'
  /** It breaks the rules of the message, or of an extension that is read. */
  | 'malformed'

export type HelloResult =
  /** All bytes so far can begin a ClientHello. */
  | { readonly kind: 'more' }
  | { readonly kind: 'hello'; readonly hello: ClientHello }
  /** No further bytes can make this a ClientHello. */
  | { readonly kind: 'invalid'; readonly fault: HelloFault }

const MORE: HelloResult = { kind: 'more' }
const HANDSHAKE_RECORD = 0x16
const TLS_MAJOR = 0x03
const CLIENT_HELLO = 0x01
const RECORD_HEADER = 5
const MESSAGE_HEADER = 4
/** RFC 8446 §5.1. */
const MAX_FRAGMENT = 2 ** 14
/** Of SSL 2.0: length with its highest bit set, then the type. */
const SSLV2_HEADER = 3

/** Reads one ClientHello out of bytes that come in pieces; each byte is looked at once, and copied at most twice. */
export class ClientHelloReader {
  readonly #raw = new Gathered()
  /** What the records so far had in them; empty while there is but one. */
  readonly #message = new Gathered()
  /** Where the next record begins. */
  #next = 0
  #result: HelloResult = MORE

  /** All that was pushed. */
  get bytes(): Buffer {
    return this.#raw.bytes
  }

  /** Takes the next piece, which stays as it is from now on. After another answer than `more` pieces are only kept. */
  push(piece: Buffer): HelloResult {
    this.#raw.add(piece)
    if (this.#result === MORE) this.#result = this.#read()
    return this.#result
  }

  #read(): HelloResult {
    const raw = this.#raw.bytes
    for (;;) {
      const start = this.#next + RECORD_HEADER
      if (this.#next === 0 && raw.length > 0 && raw[0] !== HANDSHAKE_RECORD) return notTls(raw)
      const fault = recordFault(raw, this.#next)
      if (fault !== undefined) return invalid(this.#next === 0 ? fault : 'malformed')
      if (this.#next === 0 && raw.length > start && raw[start] !== CLIENT_HELLO)
        return invalid('not_client_hello')
      if (raw.length < start) return MORE
      const end = start + raw.readUInt16BE(start - 2)
      if (end > MAX_CLIENT_HELLO_RAW_BYTES) return invalid('too_long')
      if (raw.length < end) return MORE
      this.#next = end
      const result = this.#take(raw.subarray(start, end))
      if (result !== undefined) return result
    }
  }

  /** One record's part of the message; undefined where the message goes on in the next one. */
  #take(fragment: Buffer): HelloResult | undefined {
    this.#message.add(fragment)
    const message = this.#message.bytes
    if (message.length < MESSAGE_HEADER) return undefined
    const end = MESSAGE_HEADER + message.readUIntBE(1, 3)
    if (end > MAX_CLIENT_HELLO_BYTES) return invalid('too_long')
    if (message.length < end) return undefined
    const hello = parseClientHello(message.subarray(MESSAGE_HEADER, end))
    return hello === undefined ? invalid('malformed') : { kind: 'hello', hello }
  }
}

function invalid(fault: HelloFault): HelloResult {
  return { kind: 'invalid', fault }
}

function notTls(raw: Buffer): HelloResult {
  if ((raw[0] as number) < 0x80) return invalid('not_tls')
  if (raw.length < SSLV2_HEADER) return MORE
  return invalid(raw[SSLV2_HEADER - 1] === CLIENT_HELLO ? 'sslv2' : 'not_tls')
}

/** What is wrong with the record header at `at`, as far as it has come. */
function recordFault(raw: Buffer, at: number): HelloFault | undefined {
  const type = raw[at]
  const major = raw[at + 1]
  if (type !== undefined && type !== HANDSHAKE_RECORD) return 'not_tls'
  if (major !== undefined && major !== TLS_MAJOR) return 'not_tls'
  if (raw.length < at + RECORD_HEADER) return undefined
  const length = raw.readUInt16BE(at + RECORD_HEADER - 2)
  // An empty one could be sent for ever, and is forbidden (RFC 8446 §5.1).
  return length === 0 || length > MAX_FRAGMENT ? 'malformed' : undefined
}
