/**
 * The two messages of gRPC's health protocol (https://github.com/grpc/grpc/blob/master/doc/health-checking.md), as Protocol
 * Buffers, each behind the five octets that gRPC puts before a message. They are so small that no library is worth its place.
 */

/** Where the protocol is asked: a path, as that of every method of gRPC. */
export const HEALTH_CHECK_PATH = '/grpc.health.v1.Health/Check'

/** `HealthCheckResponse.ServingStatus`; the others (UNKNOWN, NOT_SERVING, SERVICE_UNKNOWN) are all not well. */
export const SERVING = 1

/** Octets of an answer with its prefix; it takes seven, and fields that we do not know have room. */
export const MAX_HEALTH_ANSWER = 1_024

const PREFIX_OCTETS = 5
/** `HealthCheckRequest.service`: field 1, with a length. */
const SERVICE_TAG = 0x0a
const STATUS_FIELD = 1
/** Octets of a number of 64 bits. */
const MAX_VARINT_OCTETS = 10

/** Wire types of Protocol Buffers; groups (3 and 4) are long gone. */
const VARINT = 0
const FIXED64 = 1
const WITH_LENGTH = 2
const FIXED32 = 5

/** A request for `service`; '' is the server as a whole. */
export function healthCheckRequest(service: string): Buffer {
  const name = Buffer.from(service)
  // What is the default of its type is left out.
  const message =
    name.length === 0
      ? name
      : Buffer.concat([Buffer.from([SERVICE_TAG, ...varint(name.length)]), name])
  const prefix = Buffer.alloc(PREFIX_OCTETS)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

/**
 * The status in an answer, all that was sent of it. Undefined where it is not exactly one message, uncompressed, or the
 * message is malformed. Fields that are not known are passed over; of several the last one counts.
 */
export function servingStatusOf(body: Uint8Array): number | undefined {
  if (body.length < PREFIX_OCTETS || body.length > MAX_HEALTH_ANSWER || body[0] !== 0)
    return undefined
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  if (view.getUint32(1) !== body.length - PREFIX_OCTETS) return undefined
  const reader = new MessageReader(body, PREFIX_OCTETS)
  let status = 0
  while (!reader.finished) {
    const tag = reader.varint()
    if (tag === undefined || tag < 8) return undefined
    const isStatus = Math.floor(tag / 8) === STATUS_FIELD
    const type = tag % 8
    if (isStatus && type !== VARINT) return undefined
    const value = reader.value(type)
    if (value === undefined) return undefined
    if (isStatus) status = value
  }
  return status
}

/** Reads from `at` to the end of what it is given; undefined where that ends too early. */
class MessageReader {
  readonly #bytes: Uint8Array
  #at: number

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  get finished(): boolean {
    return this.#at >= this.#bytes.length
  }

  /** Exact up to 53 bits; what is larger is some other large number, and means nothing here. */
  varint(): number | undefined {
    let value = 0
    for (let count = 0; count < MAX_VARINT_OCTETS; count++) {
      const octet = this.#bytes[this.#at++]
      if (octet === undefined) return undefined
      value += (octet & 0x7f) * 2 ** (7 * count)
      if (octet < 0x80) return value
    }
    return undefined
  }

  /** The number of a varint; 0 for what was passed over. */
  value(type: number): number | undefined {
    switch (type) {
      case VARINT:
        return this.varint()
      case FIXED64:
        return this.#pass(8)
      case FIXED32:
        return this.#pass(4)
      case WITH_LENGTH:
        return this.#pass(this.varint())
      default:
        return undefined
    }
  }

  #pass(octets: number | undefined): 0 | undefined {
    if (octets === undefined || octets > this.#bytes.length - this.#at) return undefined
    this.#at += octets
    return 0
  }
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) + 0x80, ...varint(Math.floor(value / 0x80))]
}
