import { isIP, SocketAddress } from 'node:net'

const MAPPED_PREFIX = '::ffff:'

/**
 * The one text of an IP address: an IPv4-mapped address as the IPv4 address, IPv6 in the form of RFC 5952 without a
 * zone. `undefined` for text that is no address.
 */
export function normalizeAddress(address: string): string | undefined {
  const zone = address.indexOf('%')
  const text = zone < 0 ? address : address.slice(0, zone)
  const version = isIP(text)
  if (version === 4) return text
  if (version !== 6) return undefined
  const canonical = new SocketAddress({ address: text, family: 'ipv6' }).address
  // A dual-stack socket names IPv4 peers so. A hexadecimal tail does not occur: the address was just printed anew.
  return canonical.startsWith(MAPPED_PREFIX) && canonical.includes('.')
    ? canonical.slice(MAPPED_PREFIX.length)
    : canonical
}
