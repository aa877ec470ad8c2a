/**
 * The floor on this machine: HTTP/1.1 forwarded over raw sockets with none of the checks. It takes for granted that heads
 * come whole and one at a time, that requests have no body, and that answers come in one piece with a content-length.
 */
import { connect, createServer, type Socket } from 'node:net'
import { readSettings } from './node-program.ts'

const READ_BYTES = 65_536
const { port, upstream, tenants } = readSettings()
const keys = new Map(tenants.map(({ id, credential }) => [credential, id]))

interface UpstreamConnection {
  readonly socket: Socket
  /** Where the answer under way goes. */
  downstream: Socket | undefined
}

/** Last in, first out: few connections are busy, and their memory is warm. */
const idle: UpstreamConnection[] = []

createServer({ noDelay: true }, downstream => {
  downstream.on('error', () => downstream.destroy())
  downstream.on('data', chunk => {
    const end = chunk.indexOf('\r\n\r\n')
    if (end < 0) return void downstream.destroy()
    const connection = idle.pop() ?? open()
    connection.downstream = downstream
    connection.socket.write(forwardedHead(chunk.toString('latin1', 0, end)), 'latin1')
  })
}).listen(port, '127.0.0.1', 4_096)

/** Copies the lines of a head but those that are for this hop alone or name the caller. */
function forwardedHead(head: string): string {
  let from = head.indexOf('\r\n') + 2
  let kept = head.slice(0, from)
  let tenant = ''
  while (from < head.length) {
    const next = head.indexOf('\r\n', from)
    const end = next < 0 ? head.length : next
    const colon = head.indexOf(':', from)
    const name = head.slice(from, colon).toLowerCase()
    if (name === 'x-api-key') tenant = keys.get(head.slice(colon + 1, end).trim()) ?? ''
    else if (name !== 'connection' && name !== 'keep-alive') kept += `${head.slice(from, end)}\r\n`
    from = end + 2
  }
  return `${kept}x-amt-tenant: ${tenant}\r\nx-forwarded-for: 127.0.0.1\r\n\r\n`
}

function open(): UpstreamConnection {
  const onread = {
    buffer: Buffer.allocUnsafeSlow(READ_BYTES),
    callback: (length: number, buffer: Uint8Array): boolean => {
      // The buffer is read into again: what is written must be a copy.
      const answer = (buffer as Buffer).toString('latin1', 0, length)
      connection.downstream?.write(answer, 'latin1')
      connection.downstream = undefined
      idle.push(connection)
      return true
    },
  }
  const socket = connect({ port: upstream, host: '127.0.0.1', noDelay: true, onread })
  const connection: UpstreamConnection = { socket, downstream: undefined }
  socket.on('error', () => connection.downstream?.destroy())
  return connection
}
