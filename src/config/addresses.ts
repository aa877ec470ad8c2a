/** Addresses as the configuration writes them, in the one form in which they can be compared. */
import { isIPv4, isIPv6 } from 'node:net'

export interface HostPort {
  /** In the form in which addresses are compared; without brackets. */
  readonly host: string
  readonly port: number
}

/** Splits `HOST:PORT`, whose form the schema has checked. */
export function splitHostPort(text: string): HostPort {
  const colon = text.lastIndexOf(':')
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  return { host: canonicalAddress(host), port: Number(text.slice(colon + 1)) }
}

/** One spelling for each address: `::ffff:10.0.0.1` is 10.0.0.1 to the kernel, `2001:DB8:0::1` is 2001:db8::1. */
export function canonicalAddress(host: string): string {
  if (host.toLowerCase() === 'localhost') return '127.0.0.1'
  if (!isIPv6(host) || host.includes('%')) return host.toLowerCase()
  const canonical = new URL(`http://[${host}]`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(canonical)
  if (!mapped) return canonical
  const [high, low] = [Number.parseInt(mapped[1] ?? '', 16), Number.parseInt(mapped[2] ?? '', 16)]
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

/** What is wrong with the host of an address, if anything: `999.1.1.1` has the form of a name but is none. */
export function hostFault(text: string): string | undefined {
  const colon = text.lastIndexOf(':')
  const host = text.slice(0, colon)
  const valid = host.startsWith('[')
    ? isIPv6(host.slice(1, -1))
    : isIPv4(host) || (!/^[\d.]+$/.test(host) && /^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.?$/.test(host))
  return valid ? undefined : `${host} is neither an IP address nor a host name`
}
