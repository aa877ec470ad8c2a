/** Full TLS handshakes for the name of the noisy tenant, each with one call: ten times as many as it may begin. */
import { connect } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { headOf } from '../../harness/caller.ts'
import { EXCESS, HANDSHAKES } from '../limits.ts'
import { PATHS } from '../scene.ts'
import { Counts, type Noise } from './noise.ts'
import { pace } from './pace.ts'

const MAX_AT_ONCE = 500
const PATIENCE_MS = 5_000

export const newTls: Noise = ({ tlsPort, key, source, host }) => {
  const counts = new Counts()
  const sockets = new Set<TLSSocket>()
  const text = headOf({ field: 'x-api-key' }, key, `GET ${PATHS.call}`)
  const open = (): void => {
    if (sockets.size >= MAX_AT_ONCE) {
      counts.add('no connection is free')
      return
    }
    const tcp = connect({ port: tlsPort, host: '127.0.0.1', localAddress: source })
    const socket = connectTls({
      socket: tcp,
      servername: host,
      ecdhCurve: 'X25519', // as everywhere in the benchmark
      rejectUnauthorized: false,
    })
    sockets.add(socket)
    let status = ''
    socket.setTimeout(PATIENCE_MS, () => socket.destroy())
    socket.on('error', () => {})
    socket.on('secureConnect', () => socket.write(text))
    socket.on('data', (piece: Buffer) => {
      status = piece.toString('latin1', 9, 12)
      socket.destroy()
    })
    socket.on('close', () => {
      counts.add(status === '' ? 'closed' : status)
      sockets.delete(socket)
    })
  }
  const stopPace = pace(HANDSHAKES * EXCESS, open)
  return {
    stop: async () => {
      stopPace()
      const { all } = counts
      for (const socket of sockets) socket.destroy()
      return Promise.resolve(all)
    },
  }
}
