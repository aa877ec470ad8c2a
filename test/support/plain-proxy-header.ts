/**
 * A second reader of PROXY headers for the tests, written from the specification and sharing nothing with ours but Node: it
 * takes whole bytes, in the order of the text, and looks at one thing after the other.
 */
import { isIPv4, isIPv6 } from 'node:net'

export type PlainHeader =
  | { readonly kind: 'header'; readonly length: number; readonly says: string }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'invalid' }

const INVALID: PlainHeader = { kind: 'invalid' }
const INCOMPLETE: PlainHeader = { kind: 'incomplete' }
const SIGNATURE = Buffer.from([13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10])

/** What a header says, so that two readings can be compared: version, `local`, both ends, types of TLVs. */
export function readPlainHeader(bytes: Buffer): PlainHeader {
  if (bytes.subarray(0, 5).equals(Buffer.from('PROXY'))) return readLine(bytes)
  if (bytes.subarray(0, 12).equals(SIGNATURE)) return readBinary(bytes)
  const begun = [Buffer.from('PROXY'), SIGNATURE].some(
    each => bytes.length < each.length && each.subarray(0, bytes.length).equals(bytes),
  )
  return begun ? INCOMPLETE : INVALID
}

function readLine(bytes: Buffer): PlainHeader {
  const text = bytes.subarray(0, 107).toString('latin1')
  const end = text.indexOf('\r\n')
  if (end < 0) return bytes.length < 107 ? INCOMPLETE : INVALID
  const line = text.slice(0, end)
  if (line.includes('\r') || line.includes('\n')) return INVALID
  const length = end + 2
  if (/^PROXY UNKNOWN( |$)/.test(line)) return { kind: 'header', length, says: '1 local' }
  const words = line.split(' ')
  const [, family = '', source = '', destination = '', from = '', to = ''] = words
  const isAddress = family === 'TCP4' ? isIPv4 : isIPv6
  const valid =
    words.length === 6 &&
    (family === 'TCP4' || family === 'TCP6') &&
    [source, destination].every(address => isAddress(address) && !address.includes('%')) &&
    [from, to].every(port => /^\d+$/.test(port) && String(Number(port)) === port && +port < 65_536)
  if (!valid) return INVALID
  const ends = `${normal(source)} ${from} ${normal(destination)} ${to}`
  return { kind: 'header', length, says: `1 ${ends}` }
}

function readBinary(bytes: Buffer): PlainHeader {
  if (bytes.length < 16) return INCOMPLETE
  const [command = 0, family = 0] = bytes.subarray(12)
  const length = 16 + bytes.readUInt16BE(14)
  if ((command !== 0x20 && command !== 0x21) || length > 4_096) return INVALID
  const sizes: Record<number, number> = { 0: 0, 17: 12, 18: 12, 33: 36, 34: 36, 49: 216, 50: 216 }
  const size = command === 0x20 ? 0 : sizes[family]
  if (size === undefined || length < 16 + size) return INVALID
  if (bytes.length < length) return INCOMPLETE
  if (command === 0x20) return { kind: 'header', length, says: '2 local' }
  if (family === 0) return { kind: 'header', length, says: '2' }
  const types = tlvTypes(bytes.subarray(0, length), 16 + size)
  if (types === undefined) return INVALID
  return { kind: 'header', length, says: `2 ${endsOf(bytes, family)}TLV ${types.join(' ')}` }
}

function endsOf(bytes: Buffer, family: number): string {
  if (family >= 48) return ''
  const size = family < 32 ? 4 : 16
  const at = (index: number): string => {
    const raw = bytes.subarray(16 + index * size, 16 + (index + 1) * size)
    return normal(
      size === 4 ? raw.join('.') : (raw.toString('hex').match(/.{4}/g)?.join(':') ?? ''),
    )
  }
  const ports = [0, 2].map(offset => bytes.readUInt16BE(16 + 2 * size + offset))
  return `${at(0)} ${ports[0]} ${at(1)} ${ports[1]} `
}

/** Undefined where they do not fill the block, or a checksum is wrong. */
function tlvTypes(header: Buffer, start: number): number[] | undefined {
  const types: number[] = []
  let checksums = 0
  for (let at = start; at < header.length; ) {
    if (at + 3 > header.length) return undefined
    const [type = 0] = header.subarray(at)
    const end = at + 3 + header.readUInt16BE(at + 1)
    if (end > header.length) return undefined
    if (type === 3 && (end !== at + 7 || !fits(header, at + 3) || checksums++ > 0)) return undefined
    if (type !== 4) types.push(type)
    at = end
  }
  return types
}

/** CRC-32C, bit by bit. */
function fits(header: Buffer, at: number): boolean {
  let crc = 0xffffffff
  for (let index = 0; index < header.length; index++) {
    crc ^= index >= at && index < at + 4 ? 0 : (header[index] ?? 0)
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return (crc ^ 0xffffffff) >>> 0 === header.readUInt32BE(at)
}

/** As WHATWG writes it, mapped IPv4 as IPv4. */
function normal(address: string): string {
  if (isIPv4(address)) return address
  const written = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [, high = '', low = ''] = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(written) ?? []
  if (high === '') return written
  const number = Number.parseInt(high, 16) * 65_536 + Number.parseInt(low, 16)
  return [24, 16, 8, 0].map(shift => (number >>> shift) & 255).join('.')
}
