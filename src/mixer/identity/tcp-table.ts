/** The kernel's tables of TCP sockets, `/proc/net/tcp` and `/proc/net/tcp6`: text in, sockets out. Pure. */
import { formatIpv4, formatIpv6 } from '../../codec/ip-address.ts'

const ESTABLISHED = '01'
const LISTEN = '0A'

/** Both ends of a connection as the client's socket has them; addresses as `canonicalIp` gives them. */
export interface Connection {
  readonly localAddress: string
  readonly localPort: number
  readonly remoteAddress: string
  readonly remotePort: number
}

export interface ListeningSocket {
  /** `0.0.0.0` or `::` for all addresses. */
  readonly address: string
  readonly port: number
  readonly inode: string
}

export interface ConnectedSocket {
  readonly inode: string
  /** User that owns the socket. */
  readonly uid: number
}

export interface TcpTable {
  readonly listening: readonly ListeningSocket[]
  /** Those of the wanted connections that are established, by their key. */
  readonly connected: ReadonlyMap<string, ConnectedSocket>
}

export function connectionKey(connection: Connection): string {
  const { localAddress, localPort, remoteAddress, remotePort } = connection
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`
}

/**
 * Reads `tables`, the texts of both files. `littleEndian`: the byte order of the machine, in which the kernel writes
 * addresses. Sockets without an inode belong to no process any more and are left out.
 */
export function readTcpTable(
  tables: readonly string[],
  wanted: ReadonlySet<string>,
  littleEndian: boolean,
): TcpTable {
  const listening: ListeningSocket[] = []
  const connected = new Map<string, ConnectedSocket>()
  for (const text of tables) {
    for (const line of text.split('\n')) {
      const [, local = '', remote = '', state, , , , uid = '', , inode = '0'] = line
        .trim()
        .split(/\s+/)
      if (inode === '0' || (state !== LISTEN && state !== ESTABLISHED)) continue
      const here = endOf(local, littleEndian)
      const there = endOf(remote, littleEndian)
      if (here === undefined || there === undefined) continue
      if (state === LISTEN) {
        listening.push({ ...here, inode })
        continue
      }
      const key = `${here.address} ${here.port} ${there.address} ${there.port}`
      if (wanted.has(key)) connected.set(key, { inode, uid: Number(uid) })
    }
  }
  return { listening, connected }
}

/** `0100007F:1F90`: each 32 bits of the address as a number of the machine, then the port. */
function endOf(
  text: string,
  littleEndian: boolean,
): { readonly address: string; readonly port: number } | undefined {
  const [, hex = '', port = ''] = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(text) ?? []
  if (hex === '') return undefined
  const bytes = Buffer.from(hex, 'hex')
  if (littleEndian) bytes.swap32()
  return {
    address: bytes.length === 4 ? formatIpv4(bytes) : formatIpv6(groupsOf(bytes)),
    port: Number.parseInt(port, 16),
  }
}

function groupsOf(bytes: Buffer): number[] {
  return Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2))
}
