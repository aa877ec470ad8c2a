/**
 * gRPC over HTTP/2, as far as somebody between its two ends has to understand it
 * (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). Messages are counted and never read.
 */

/** UNKNOWN: also of an answer that ends without a status, or with one that is none. */
export const GRPC_UNKNOWN = 2
/** UNAUTHENTICATED, the last of them. */
export const MAX_GRPC_STATUS = 16
/** Flag (1 octet) and length (4 octets, big-endian) before each message. */
const PREFIX_OCTETS = 5
/** As long as a timer of Node can wait, 24.8 days. */
export const MAX_GRPC_TIMEOUT_MS: number = 2 ** 31 - 1

const CONTENT_TYPE = 'application/grpc'

/** Whether a content-type is gRPC's: `application/grpc`, `application/grpc+proto`, `application/grpc; …`; not gRPC-Web. */
export function isGrpc(contentType: string): boolean {
  // By the length first: this is asked of every call, and most are something shorter.
  if (contentType.length < CONTENT_TYPE.length) return false
  if (contentType.length > CONTENT_TYPE.length) {
    const next = contentType[CONTENT_TYPE.length]
    if (next !== '+' && next !== ';' && next !== ' ' && next !== '\t') return false
  }
  return (
    contentType.startsWith(CONTENT_TYPE) ||
    contentType.slice(0, CONTENT_TYPE.length).toLowerCase() === CONTENT_TYPE
  )
}

/**
 * Counts the length-prefixed messages of one direction of a call, in ranges cut anywhere. It copies nothing and looks at
 * prefixes alone, so that a range costs the same however long it is. A message counts once its last octet has passed.
 */
export class GrpcMessageCounter {
  /** Messages that have passed whole. */
  count = 0
  /** What came is no gRPC: a flag is neither 0 nor 1. Nothing is counted from there on. */
  broken = false
  /** Octets of the present prefix that have passed; 5 within a message. */
  #prefix = 0
  /** Of the message: as far as it is known within the prefix, what is missing of it after that. */
  #rest = 0

  /** Whether nothing of a message has come that is not whole yet. */
  get between(): boolean {
    return this.#prefix === 0
  }

  /** For another call. */
  reset(): void {
    this.count = 0
    this.broken = false
    this.#prefix = 0
    this.#rest = 0
  }

  /** `bytes[start, end)` passes. Never throws. */
  pass(bytes: Uint8Array, start: number, end: number): void {
    let at = start
    while (at < end && !this.broken) {
      if (this.#prefix === PREFIX_OCTETS) {
        const passing = Math.min(this.#rest, end - at)
        at += passing
        this.#rest -= passing
      } else this.#takePrefix(bytes[at++] as number)
      if (this.#prefix === PREFIX_OCTETS && this.#rest === 0) {
        this.count++
        this.#prefix = 0
      }
    }
  }

  #takePrefix(octet: number): void {
    if (this.#prefix === 0) this.broken = octet > 1
    // Not by shifts: 32 bits are more than they hold.
    else this.#rest = this.#rest * 256 + octet
    this.#prefix++
  }
}

const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
}

/**
 * Milliseconds of a `grpc-timeout`, rounded up, from 1 (a deadline that is over, too) to `MAX_GRPC_TIMEOUT_MS`. Undefined
 * where it is malformed: it is one to eight digits and a unit.
 */
export function parseGrpcTimeout(value: string): number | undefined {
  if (!/^\d{1,8}[HMSmun]$/.test(value)) return undefined
  const unit = UNIT_MS[value.at(-1) as string] as number
  const amount = Number(value.slice(0, -1))
  // Divided for the small units: 3 × 1e-3 is not 3 ÷ 1000 in floating point, and would round up to one more.
  const ms = unit < 1 ? amount / Math.round(1 / unit) : amount * unit
  return Math.min(Math.max(Math.ceil(ms), 1), MAX_GRPC_TIMEOUT_MS)
}

/** A text as the value of `grpc-message`: UTF-8, with all but printable ASCII, and `%`, percent-encoded. */
export function grpcMessageText(text: string): string {
  if (/^[ -$&-~]*$/.test(text)) return text
  let encoded = ''
  for (const octet of Buffer.from(text))
    encoded +=
      octet >= 0x20 && octet <= 0x7e && octet !== 0x25
        ? String.fromCharCode(octet)
        : `%${octet.toString(16).toUpperCase().padStart(2, '0')}`
  return encoded
}

/** The status in a `grpc-status`: 0 to 16, or UNKNOWN for anything else and for none at all. */
export function grpcStatusOf(value: string | undefined): number {
  if (value === undefined || !/^\d{1,8}$/.test(value)) return GRPC_UNKNOWN
  const status = Number(value)
  return status <= MAX_GRPC_STATUS ? status : GRPC_UNKNOWN
}
