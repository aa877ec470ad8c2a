/** How many connections wait in the kernel for somebody who accepts them. Linux alone says so. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

/** Listening sockets come first in these files; what is beyond this many bytes (400 sockets, about) is not looked at. */
const MOST_READ = 64 * 1024
const TABLES = ['/proc/net/tcp', '/proc/net/tcp6']
const LISTEN = '0A'

const buffer = Buffer.allocUnsafeSlow(MOST_READ)

/** Length of the longest accept queue of the sockets that listen at `ports`; 0 where nobody can tell. */
export function longestAcceptQueue(ports: ReadonlySet<number>): number {
  let longest = 0
  if (ports.size === 0) return longest
  for (const table of TABLES) longest = Math.max(longest, longestIn(headOf(table), ports))
  return longest
}

/** What an accept queue may have where a listener has asked for `backlog`. */
export function acceptQueueLimit(backlog: number): number {
  try {
    const most = Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'))
    return most > 0 ? Math.min(most, backlog) : backlog
  } catch {
    return backlog
  }
}

/** The same of a table as Linux writes it (proc_pid_net(5)): address:port, peer, state, tx_queue:rx_queue, all hexadecimal. */
export function longestIn(table: string, ports: ReadonlySet<number>): number {
  let longest = 0
  // The first line is a title.
  for (let at = table.indexOf('\n') + 1; at < table.length; ) {
    const end = table.indexOf('\n', at)
    if (end < 0) break
    const [, local = '', , state, queues = ''] = table.slice(at, end).trim().split(/\s+/, 5)
    if (state !== LISTEN) break
    at = end + 1
    const port = Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16)
    if (ports.has(port)) longest = Math.max(longest, Number.parseInt(queues.slice(9), 16))
  }
  return longest
}

function headOf(path: string): string {
  let file: number | undefined
  try {
    file = openSync(path, 'r')
    let length = 0
    // The kernel gives a page at a time.
    for (;;) {
      const read = readSync(file, buffer, length, MOST_READ - length, null)
      length += read
      const rest = MOST_READ - length
      if (read === 0 || rest === 0 || !endsListening(buffer, length)) break
    }
    return buffer.toString('latin1', 0, length)
  } catch {
    return ''
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/** Whether there may be more listening sockets behind what was read. */
function endsListening(bytes: Buffer, length: number): boolean {
  const line = bytes.lastIndexOf('\n', length - 1)
  const start = bytes.lastIndexOf('\n', line - 1) + 1
  const [, , , state] = bytes.toString('latin1', start, line).trim().split(/\s+/, 5)
  return state === LISTEN || state === undefined || state === 'st'
}
