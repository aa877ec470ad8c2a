import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

/**
 * Ends a connection at once, so that the peer cannot take what it has got for the whole: with a reset, since a FIN would
 * end a body of HTTP/1.0 or a stream of TCP like any other. Inside TLS the missing close_notify says the same.
 */
export function cut(socket: Duplex): void {
  const plain = socket instanceof Socket && !(socket instanceof TLSSocket)
  // A FIN that is on its way cannot be taken back, and libuv refuses to reset behind it: Node 26.10 would then take the
  // handle for closed, and the process could never end.
  const ending = socket.writableEnded && socket.writableLength === 0
  if (!plain || ending || socket.destroyed) {
    socket.destroy()
    return
  }
  // `resetAndDestroy` ends a socket that is writable before it resets it: a FIN first, and only after all that is pending.
  const unwritable: { writable: boolean } = socket
  unwritable.writable = false
  socket.resetAndDestroy()
  socket.destroy()
}
