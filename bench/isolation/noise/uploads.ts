/** Bodies of a quarter of a gibibyte, on many connections, with ten times the bandwidth of the tenant in all. */
import { connect, type Socket } from 'node:net'
import { headOf } from '../../harness/caller.ts'
import { EXCESS, INGRESS } from '../limits.ts'
import { PATHS, UPLOAD_BYTES } from '../scene.ts'
import { Counts, type Noise, type NoiseTarget } from './noise.ts'
import { pace } from './pace.ts'

const UPLOADS = 40
/** New ones a second, where the old ones end. */
const NEW_A_SECOND = 100
const PIECE = Buffer.alloc(64 * 1_024, 'upload')
const PIECES_A_SECOND = (INGRESS * EXCESS) / PIECE.length

class Upload {
  readonly socket: Socket
  #left = UPLOAD_BYTES
  #ready = false

  constructor({ port, key, source }: NoiseTarget, counts: Counts, ended: (upload: Upload) => void) {
    const socket = connect({ port, host: '127.0.0.1', localAddress: source })
    this.socket = socket
    socket.on('error', () => {})
    socket.on('connect', () => {
      const length = `Content-Length: ${UPLOAD_BYTES}\r\n`
      this.#ready = socket.write(
        headOf({ field: 'x-api-key' }, key, `POST ${PATHS.upload}`, length),
      )
    })
    socket.on('drain', () => {
      this.#ready = true
    })
    // Whatever it says, at the end or before: this upload is over.
    socket.on('data', piece => {
      counts.add(piece.toString('latin1', 9, 12))
      socket.destroy()
    })
    socket.on('close', () => ended(this))
  }

  /** Sends a piece, if it can. */
  send(): boolean {
    if (!this.#ready || this.#left === 0) return false
    this.#left -= PIECE.length
    this.#ready = this.socket.write(PIECE)
    return true
  }
}

export const uploads: Noise = target => {
  const counts = new Counts()
  const running: Upload[] = []
  const ended = (upload: Upload): void => {
    running.splice(running.indexOf(upload), 1)
  }
  const stopOpening = pace(NEW_A_SECOND, () => {
    if (running.length < UPLOADS) running.push(new Upload(target, counts, ended))
  })
  let turn = 0
  const stopSending = pace(PIECES_A_SECOND, () => {
    for (let tried = 0; tried < running.length; tried += 1) {
      turn = (turn + 1) % running.length
      if (running[turn]?.send() !== true) continue
      counts.add('bytes', PIECE.length)
      return
    }
  })
  return {
    stop: async () => {
      stopOpening()
      stopSending()
      const { all } = counts
      for (const { socket } of running) socket.destroy()
      return Promise.resolve(all)
    },
  }
}
