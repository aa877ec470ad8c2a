/**
 * The PROXY protocol header, versions 1 and 2, as HAProxy's doc/proxy-protocol.txt has it: who really speaks, told by the
 * load balancer in front. Pure: bytes in, a header or a refusal out. Whether a listener wants a header at all is
 * configured, never guessed from the bytes (section 5: a client that may choose could claim any address).
 */
import { crc32c } from './crc32c.ts'
import { formatIpv4, formatIpv6, ipv4Octets, ipv6Groups } from './ip-address.ts'
import { MAX_PROXY_TLVS, type ProxyFacts, type ProxyTlv, readProxyFacts } from './proxy-tlv.ts'

/** A whole v2 header with its TLVs; the specification would allow 64 KiB, senders use a few hundred bytes. */
export const MAX_PROXY_HEADER_BYTES: number = 4_096

export interface ProxyEndpoint {
  /** Canonical text; an IPv4-mapped IPv6 address is written as the IPv4 address that it stands for. */
  readonly address: string
  readonly port: number
}

export interface ProxyHeader {
  readonly version: 1 | 2
  /** The sender speaks for itself (v2 LOCAL, such as a health check) or does not know for whom (v1 UNKNOWN). */
  readonly local: boolean
  /** Absent where the header names no IP address (LOCAL, UNKNOWN, UNSPEC, UNIX): those of the connection count then. */
  readonly source?: ProxyEndpoint
  readonly destination?: ProxyEndpoint
  /** v2 only, in the order sent, without padding (NOOP). */
  readonly tlvs: readonly ProxyTlv[]
  /** What the TLVs say; empty where there are none. */
  readonly facts: ProxyFacts
}

const NO_FACTS: ProxyFacts = Object.freeze({})

export type ProxyHeaderResult =
  /** All bytes so far can begin a header. */
  | { readonly kind: 'incomplete' }
  /** `length` bytes were the header; what follows is the connection's own. */
  | { readonly kind: 'header'; readonly header: ProxyHeader; readonly length: number }
  /** No further bytes can make this a header. */
  | { readonly kind: 'invalid'; readonly why: string }

const INCOMPLETE: ProxyHeaderResult = { kind: 'incomplete' }
const invalid = (why: string): ProxyHeaderResult => ({ kind: 'invalid', why })

/**
 * Reads the header at the start of a connection's bytes. Give it all bytes received so far, again with each arrival:
 * it keeps no state, and refuses at the first byte that no header has in its place. Never throws.
 */
export function parseProxyHeader(bytes: Buffer): ProxyHeaderResult {
  switch (bytes[0]) {
    case undefined:
      return INCOMPLETE
    case 0x50:
      return parseV1(bytes)
    case 0x0d:
      return parseV2(bytes)
    default:
      return invalid('no PROXY protocol signature')
  }
}

/** Version 1: one line of at most 107 bytes with its CRLF. */
const V1_MAX_TEXT = 105

/** One word of the line: what may stand there, and what may begin it. */
interface Word {
  readonly whole: (text: string) => boolean
  readonly begins: (text: string) => boolean
}

const literal = (...words: string[]): Word => ({
  whole: text => words.includes(text),
  begins: text => words.some(word => word.startsWith(text)),
})

/** A word begins well if one of `endings` completes it; each list reaches the end from every possible place. */
const completedBy = (whole: (text: string) => boolean, endings: readonly string[]): Word => ({
  whole,
  begins: text => endings.some(ending => whole(text + ending)),
})

const PORT = completedBy(
  text => /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535,
  ['', '0'],
)
const IPV4 = completedBy(
  text => ipv4Octets(text) !== undefined,
  ['', '.0', '.0.0', '.0.0.0', '0', '0.0', '0.0.0', '0.0.0.0'],
)
const IPV6 = completedBy(
  text => ipv6Groups(text) !== undefined,
  ['', '0', ':', '::', '.0', '.0.0', '.0.0.0', '0.0', '0.0.0'],
)
const SIGNATURE = literal('PROXY')
const PROTOCOL = literal('TCP4', 'TCP6', 'UNKNOWN')

function parseV1(bytes: Buffer): ProxyHeaderResult {
  const window = bytes.subarray(0, V1_MAX_TEXT + 1)
  const end = window.indexOf(0x0d)
  const text = window.toString('latin1', 0, end === -1 ? window.length : end)
  const words = text.split(' ')
  const fault = v1Fault(words, end !== -1)
  if (fault !== undefined) return invalid(fault)
  if (text.length > V1_MAX_TEXT) return invalid('version 1 header is longer than 107 bytes')
  if (end === -1 || bytes.length === end + 1) return INCOMPLETE
  if (bytes[end + 1] !== 0x0a) return invalid('version 1 header does not end in CRLF')
  return { kind: 'header', header: v1Header(words), length: end + 2 }
}

/** What is wrong with the words of a line; if it is not `complete`, its last word may go on and more may follow. */
function v1Fault(words: readonly string[], complete: boolean): string | undefined {
  const protocol = words[1]
  const address = protocol === 'TCP4' ? IPV4 : IPV6
  const grammar = [SIGNATURE, PROTOCOL, address, address, PORT, PORT]
  for (const [index, word] of words.entries()) {
    // What follows UNKNOWN is to be ignored, but a bare LF would end the line for a laxer reader.
    if (index >= 2 && protocol === 'UNKNOWN') {
      if (word.includes('\n')) return 'version 1 header does not end in CRLF'
      continue
    }
    const rule = grammar[index]
    if (rule === undefined) return 'version 1 header has too many words'
    const partial = !complete && index === words.length - 1
    if (!(partial ? rule.begins(word) : rule.whole(word))) return `${V1_WORDS[index]} is not valid`
  }
  if (complete && words.length < grammar.length && protocol !== 'UNKNOWN') {
    return 'version 1 header has too few words'
  }
  return undefined
}

const V1_WORDS = [
  'signature',
  'protocol',
  'source address',
  'destination address',
  'source port',
  'destination port',
] as const

function v1Header(words: readonly string[]): ProxyHeader {
  const [, protocol, source = '', destination = '', sourcePort, destinationPort] = words
  if (protocol === 'UNKNOWN') return { version: 1, local: true, tlvs: [], facts: NO_FACTS }
  const canonical = (text: string): string =>
    protocol === 'TCP4' ? text : formatIpv6(ipv6Groups(text) ?? [])
  return {
    version: 1,
    local: false,
    source: { address: canonical(source), port: Number(sourcePort) },
    destination: { address: canonical(destination), port: Number(destinationPort) },
    tlvs: [],
    facts: NO_FACTS,
  }
}

const V2_SIGNATURE = '\r\n\r\n\0\r\nQUIT\n'
const V2_FIXED_BYTES = 16
const UNSPEC = 0x00
const TYPE_CRC32C = 0x03
const TYPE_NOOP = 0x04

/** Bytes of both addresses and ports by the family and transport byte; any other byte must be refused. */
const ADDRESS_BYTES: ReadonlyMap<number, number> = new Map([
  [UNSPEC, 0],
  [0x11, 12],
  [0x12, 12],
  [0x21, 36],
  [0x22, 36],
  [0x31, 216],
  [0x32, 216],
])

function parseV2(bytes: Buffer): ProxyHeaderResult {
  if (!V2_SIGNATURE.startsWith(bytes.toString('latin1', 0, V2_SIGNATURE.length))) {
    return invalid('no PROXY protocol signature')
  }
  const [versionAndCommand, family, sizeHigh, sizeLow] = bytes.subarray(12, V2_FIXED_BYTES)
  if (versionAndCommand === undefined) return INCOMPLETE
  if (versionAndCommand !== 0x20 && versionAndCommand !== 0x21) {
    return invalid('version or command is not known')
  }
  if (family === undefined) return INCOMPLETE
  // "The receiver must … discard the protocol block including the family" of LOCAL; UNSPEC has none to read.
  const local = versionAndCommand === 0x20
  const addressBytes = local ? 0 : ADDRESS_BYTES.get(family)
  if (addressBytes === undefined) return invalid('address family or transport is not known')
  if (sizeHigh === undefined) return INCOMPLETE
  const length = V2_FIXED_BYTES + sizeHigh * 256 + (sizeLow ?? 0)
  if (length > MAX_PROXY_HEADER_BYTES) return invalid('version 2 header is too long')
  if (sizeLow === undefined) return INCOMPLETE
  if (length < V2_FIXED_BYTES + addressBytes) return invalid('addresses do not fit into the header')
  if (local || family === UNSPEC) {
    if (bytes.length < length) return INCOMPLETE
    return { kind: 'header', header: { version: 2, local, tlvs: [], facts: NO_FACTS }, length }
  }
  return parseV2Block(bytes, family, { tlvsAt: V2_FIXED_BYTES + addressBytes, length })
}

function parseV2Block(
  bytes: Buffer,
  family: number,
  { tlvsAt, length }: { tlvsAt: number; length: number },
): ProxyHeaderResult {
  const found: ProxyTlv[] = []
  let checksumAt: number | undefined
  let count = 0
  for (let at = tlvsAt; at < length; ) {
    if (length - at < 3) return invalid('TLV is cut off')
    if (bytes.length < at + 3) return INCOMPLETE
    if (++count > MAX_PROXY_TLVS) return invalid('too many TLVs')
    const type = bytes.readUInt8(at)
    const next = at + 3 + bytes.readUInt16BE(at + 1)
    if (next > length) return invalid('TLV is longer than the header')
    if (type === TYPE_CRC32C) {
      // Two checksums cannot both be computed over a header in which "the" checksum is zero.
      if (next - at !== 7 || checksumAt !== undefined) return invalid('checksum is not valid')
      checksumAt = at + 3
    }
    if (type !== TYPE_NOOP) found.push({ type, value: bytes.subarray(at + 3, next) })
    at = next
  }
  if (bytes.length < length) return INCOMPLETE
  if (checksumAt !== undefined && !checksumFits(bytes.subarray(0, length), checksumAt))
    return invalid('checksum is not right')
  const tlvs = found.map(({ type, value }) => ({ type, value: Buffer.from(value) }))
  const read = readProxyFacts(tlvs)
  if ('fault' in read) return invalid(read.fault)
  const { facts } = read
  const header = { version: 2, local: false, ...v2Endpoints(bytes, family), tlvs, facts } as const
  return { kind: 'header', header, length }
}

/** UNIX addresses are paths and thus no `ProxyEndpoint`: nothing downstream could take them for an IP address. */
function v2Endpoints(bytes: Buffer, family: number): Pick<ProxyHeader, 'source' | 'destination'> {
  if (family >= 0x30) return {}
  const size = family < 0x20 ? 4 : 16
  const endpoint = (index: 0 | 1): ProxyEndpoint => ({
    address: addressText(
      bytes.subarray(V2_FIXED_BYTES + index * size, V2_FIXED_BYTES + (index + 1) * size),
    ),
    port: bytes.readUInt16BE(V2_FIXED_BYTES + 2 * size + 2 * index),
  })
  return { source: endpoint(0), destination: endpoint(1) }
}

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return formatIpv4(bytes)
  return formatIpv6(Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index)))
}

/** §2.2.3: over the whole header, the four bytes of the checksum itself taken as zero. */
function checksumFits(header: Buffer, checksumAt: number): boolean {
  const zeroed = Buffer.from(header)
  zeroed.writeUInt32BE(0, checksumAt)
  return crc32c(zeroed, 0, zeroed.length) === header.readUInt32BE(checksumAt)
}
