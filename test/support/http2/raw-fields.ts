/** Header blocks by hand, without tables and Huffman: a field says exactly what the test likes, also what no encoder would write. */
import { CONTINUATION, END_HEADERS, END_STREAM, HEADERS } from '../../../src/codec/http2/frame.ts'
import { frame } from './frames.ts'

export type Pair = readonly [name: string, value: string]

/** An integer of HPACK (RFC 7541 §5.1) behind `first`, whose low `bits` bits it begins in. */
export function hpackInteger(first: number, bits: number, value: number): Buffer {
  const most = 2 ** bits - 1
  if (value < most) return Buffer.of(first | value)
  const octets = [first | most]
  let rest = value - most
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) octets.push((rest & 0x7f) | 0x80)
  return Buffer.from([...octets, rest])
}

function text(value: string): Buffer {
  return Buffer.concat([hpackInteger(0, 7, value.length), Buffer.from(value, 'latin1')])
}

/** A literal field that no table remembers. */
export function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0), text(name), text(value)])
}

/** The same, which the table of the other end remembers as its newest entry. */
export function remembered(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0x40), text(name), text(value)])
}

export function block(pairs: readonly Pair[]): Buffer {
  return Buffer.concat(pairs.map(([name, value]) => literal(name, value)))
}

/** The fields of a request to `host`, with `more` behind the pseudo-header fields. */
export function requestPairs(
  host: string,
  { method = 'GET', path = '/', scheme = 'http' } = {},
  more: readonly Pair[] = [],
): Pair[] {
  return [[':method', method], [':scheme', scheme], [':authority', host], [':path', path], ...more]
}

export interface HeadersShape {
  readonly endStream?: boolean
  /** The header block ends with this frame, which is usual. */
  readonly endHeaders?: boolean
}

/** A header section as one frame, or where it is long with its CONTINUATION frames. */
export function headers(
  streamId: number,
  fields: readonly Pair[] | Buffer,
  { endStream = true, endHeaders = true }: HeadersShape = {},
): Buffer {
  const octets = Buffer.isBuffer(fields) ? fields : block(fields)
  const frames: Buffer[] = []
  let type = HEADERS
  for (let start = 0; start === 0 || start < octets.length; start += FRAGMENT) {
    const last = start + FRAGMENT >= octets.length && endHeaders
    const flags = (last ? END_HEADERS : 0) | (type === HEADERS && endStream ? END_STREAM : 0)
    frames.push(frame(type, streamId, octets.subarray(start, start + FRAGMENT), flags))
    type = CONTINUATION
  }
  return Buffer.concat(frames)
}

const FRAGMENT = 16_384
