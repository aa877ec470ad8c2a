/**
 * Writes PROXY protocol headers, versions 1 and 2, as HAProxy's doc/proxy-protocol.txt has them: to a deployment, which
 * would else see us as its only client.
 */
import { ipv4Octets, ipv6Groups } from './ip-address.ts'
import type { ProxyEndpoint } from './proxy-protocol.ts'

/** Both ends of a client's connection. */
export interface ConnectionEnds {
  readonly source: ProxyEndpoint
  readonly destination: ProxyEndpoint
}

const V2_SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
const V2_LOCAL = Buffer.from('20000000', 'hex')
const V2_PROXY = 0x21
const TCP_OVER_IPV4 = 0x11
const TCP_OVER_IPV6 = 0x21

/**
 * The header for a connection that is made for `ends`; without them for one that is our own (LOCAL, in version 1 UNKNOWN):
 * the receiver then takes the addresses of the connection itself. So it is where an address cannot be read.
 */
export function writeProxyHeader(version: 1 | 2, ends: ConnectionEnds | undefined): Buffer {
  const bytes = ends === undefined ? undefined : addressBytes(ends)
  if (ends === undefined || bytes === undefined)
    return version === 1
      ? Buffer.from('PROXY UNKNOWN\r\n', 'latin1')
      : Buffer.concat([V2_SIGNATURE, V2_LOCAL])
  return version === 1 ? v1(ends, bytes) : v2(ends, bytes)
}

/** Both addresses in the same family, as the protocol wants them: of two families as IPv6, the other one mapped. */
function addressBytes({ source, destination }: ConnectionEnds): readonly Buffer[] | undefined {
  const four = [source, destination].map(({ address }) => ipv4Octets(address))
  const [from, to] = four
  if (from !== undefined && to !== undefined) return [Buffer.from(from), Buffer.from(to)]
  const sixteen = [source, destination].map(({ address }, index) => ipv6Bytes(four[index], address))
  return sixteen.every(bytes => bytes !== undefined) ? sixteen : undefined
}

function ipv6Bytes(mapped: number[] | undefined, address: string): Buffer | undefined {
  if (mapped !== undefined) return Buffer.from([...Array(10).fill(0), 0xff, 0xff, ...mapped])
  const groups = ipv6Groups(address)
  return groups && Buffer.from(groups.flatMap(group => [group >> 8, group & 255]))
}

function v1({ source, destination }: ConnectionEnds, [from, to]: readonly Buffer[]): Buffer {
  const text = [
    'PROXY',
    from?.length === 4 ? 'TCP4' : 'TCP6',
    addressText(from),
    addressText(to),
    source.port,
    destination.port,
  ].join(' ')
  return Buffer.from(`${text}\r\n`, 'latin1')
}

/** Not compressed and never dotted: every reader takes that. */
function addressText(bytes: Buffer = Buffer.alloc(0)): string {
  if (bytes.length === 4) return bytes.join('.')
  return Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16)).join(
    ':',
  )
}

function v2({ source, destination }: ConnectionEnds, addresses: readonly Buffer[]): Buffer {
  const family = addresses[0]?.length === 4 ? TCP_OVER_IPV4 : TCP_OVER_IPV6
  const block = Buffer.concat([...addresses, Buffer.alloc(4)])
  block.writeUInt16BE(source.port, block.length - 4)
  block.writeUInt16BE(destination.port, block.length - 2)
  return Buffer.concat([V2_SIGNATURE, Buffer.of(V2_PROXY, family, 0, block.length), block])
}
