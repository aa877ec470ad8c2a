/** Whose connections a process has, as Linux tells it. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** The remote ports of all TCP connections of a process. Exact where the process is stopped meanwhile. */
export function clientPortsOf(pid: number): Set<number> {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap(fd => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? []
      } catch {
        return []
      }
    }),
  )
  const ports = new Set<number>()
  for (const table of ['tcp', 'tcp6']) {
    for (const line of readFileSync(`/proc/${pid}/net/${table}`, 'latin1').split('\n').slice(1)) {
      const [, , remote = '', , , , , , , inode = ''] = line.trim().split(/\s+/)
      if (inodes.has(inode)) ports.add(Number.parseInt(remote.slice(remote.indexOf(':') + 1), 16))
    }
  }
  return ports
}
