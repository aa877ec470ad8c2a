/** A unix socket that only the user of this process may open. */
import { chmodSync } from 'node:fs'
import type { Server } from 'node:net'

/** Listens at `path`, where nothing may be; what keeps it from that is an `error` of the server. */
export function listenInPrivate(server: Server, path: string, listening?: () => void): void {
  // From the first moment nobody else may open it: `chmod` alone would leave a gap.
  const mask = process.umask(0o177)
  try {
    server.listen({ path }, listening)
  } finally {
    process.umask(mask)
  }
  try {
    // In a folder with a default ACL the mask says nothing.
    if (server.listening) chmodSync(path, 0o600)
  } catch {
    // Somebody has taken it away at once; then nobody opens it.
  }
}
