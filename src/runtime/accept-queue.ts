/** How many connections wait in the kernel for somebody who accepts them. Linux alone says so. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

/** Listening sockets come first in these files; what is beyond this many bytes (400 sockets, about) is not looked at. */
const MOST_READ = 64 * 1024
const TABLES = ['/proc/net/tcp', '/proc/net/tcp6']
const LISTEN = '0A'
/**
 * A table without listeners of ours is left alone for so long: where it has no connections either, the kernel goes through all
 * places that there are for some before it says so, 2 to 10 ms in which nothing is served.
 */
const REST_MS = 60_000

const buffer = Buffer.allocUnsafeSlow(MOST_READ)

export class AcceptQueues {
  readonly #read: (path: string) => string
  /** By table: until when it is left alone, in ms. */
  readonly #restsUntil = TABLES.map(() => 0)
  #ports: ReadonlySet<number> | undefined

  /** `read` gives the begin of a table, or '' where it cannot. */
  constructor(read: (path: string) => string = headOf) {
    this.#read = read
  }

  /**
   * Length of the longest one of the sockets that listen at `ports`, which are another set when they change; 0 where nobody can
   * tell. `now` is monotonic, in ms.
   */
  longest(ports: ReadonlySet<number>, now: number): number {
    if (ports !== this.#ports) this.#restsUntil.fill(0)
    this.#ports = ports
    if (ports.size === 0) return 0
    let longest = 0
    for (const [index, table] of TABLES.entries()) {
      if (now < (this.#restsUntil[index] as number)) continue
      const text = this.#read(table)
      // There may have been no descriptor for it, just when it matters.
      if (text === '') continue
      const length = longestIn(text, ports)
      if (length === undefined) this.#restsUntil[index] = now + REST_MS
      else longest = Math.max(longest, length)
    }
    return longest
  }
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

/**
 * The same of a table as Linux writes it (proc_pid_net(5)): address:port, peer, state, tx_queue:rx_queue, all hexadecimal.
 * Undefined where none of them is in it.
 */
export function longestIn(table: string, ports: ReadonlySet<number>): number | undefined {
  let longest: number | undefined
  // The first line is a title.
  for (let at = table.indexOf('\n') + 1; at < table.length; ) {
    const end = table.indexOf('\n', at)
    if (end < 0) break
    const [, local = '', , state, queues = ''] = table.slice(at, end).trim().split(/\s+/, 5)
    if (state !== LISTEN) break
    at = end + 1
    const port = Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16)
    if (ports.has(port)) longest = Math.max(longest ?? 0, Number.parseInt(queues.slice(9), 16))
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
