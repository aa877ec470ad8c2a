/** IP addresses and CIDR blocks as numbers that can be compared: IPv4 as the IPv4-mapped part of IPv6. */
import { formatIpv4, formatIpv6, ipv4Octets, ipv6Groups } from './ip-address.ts'

const IPV6_BITS = 128
const MAPPED_BITS = 96

/** The addresses that begin as `first` does, over `bits` bits of 128. */
export interface IpBlock {
  /** The bits behind `bits` are 0. */
  readonly first: bigint
  readonly bits: number
}

/**
 * The one text of an address: an IPv4-mapped one as IPv4, IPv6 as RFC 5952 has it, without a zone; undefined for what is
 * no address.
 */
export function canonicalIp(text: string): string | undefined {
  const octets = ipv4Octets(text)
  if (octets !== undefined) return formatIpv4(octets)
  const zone = text.indexOf('%')
  const groups = ipv6Groups(zone === -1 ? text : text.slice(0, zone))
  return groups === undefined ? undefined : formatIpv6(groups)
}

/** An address, without a zone, as a number. */
export function ipNumber(text: string): bigint | undefined {
  const octets = ipv4Octets(text)
  if (octets !== undefined) return (0xffffn << 32n) | joined(octets, 8n)
  const groups = ipv6Groups(text)
  return groups === undefined ? undefined : joined(groups, 16n)
}

/** `10.0.0.0/8`, `2001:db8::/32`, or a single address. Bits of the address behind the prefix are ignored. */
export function parseIpBlock(text: string): IpBlock | undefined {
  const slash = text.indexOf('/')
  const address = slash === -1 ? text : text.slice(0, slash)
  const number = ipNumber(address)
  if (number === undefined) return undefined
  const shift = address.includes(':') ? 0 : MAPPED_BITS
  const length = slash === -1 ? IPV6_BITS - shift : prefixLength(text.slice(slash + 1))
  if (length === undefined || length > IPV6_BITS - shift) return undefined
  const bits = length + shift
  return { first: startOf(number, bits), bits }
}

/** Start of the block of that many bits that the address lies in. */
export function startOf(address: bigint, bits: number): bigint {
  const behind = BigInt(IPV6_BITS - bits)
  return (address >> behind) << behind
}

/** The last address of a block. */
export function endOf({ first, bits }: IpBlock): bigint {
  return first | ((1n << BigInt(IPV6_BITS - bits)) - 1n)
}

const LOOPBACK: readonly IpBlock[] = [
  { first: (0xffffn << 32n) | (127n << 24n), bits: MAPPED_BITS + 8 },
  { first: 1n, bits: IPV6_BITS },
]

/** The same for a text that `canonicalIp` has given. */
export function isLoopbackText(address: string): boolean {
  return address.startsWith('127.') || address === '::1'
}

/** Whether the address is one of 127.0.0.0/8, or ::1. */
export function isLoopback(address: bigint): boolean {
  return LOOPBACK.some(({ first, bits }) => startOf(address, bits) === first)
}

/** Whether the address is good on one link alone (fe80::/10, 169.254.0.0/16): others have it on other links. */
export function isLinkLocal(address: bigint): boolean {
  return (
    startOf(address, 10) === 0xfe80n << 112n ||
    startOf(address, MAPPED_BITS + 16) === ((0xffffn << 32n) | (0xa9fen << 16n))
  )
}

function prefixLength(text: string): number | undefined {
  return /^(0|[1-9]\d{0,2})$/.test(text) ? Number(text) : undefined
}

function joined(parts: readonly number[], width: bigint): bigint {
  return parts.reduce((sum, part) => (sum << width) | BigInt(part), 0n)
}
