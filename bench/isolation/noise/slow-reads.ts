/** Large answers that are taken bit by bit: each keeps a call, its connection and that to the deployment. */
import { connect, type Socket } from 'node:net'
import { headOf } from '../../harness/caller.ts'
import { CONCURRENCY, EXCESS } from '../limits.ts'
import { PATHS } from '../scene.ts'
import { Counts, type Noise } from './noise.ts'
import { pace } from './pace.ts'

const READERS = CONCURRENCY * EXCESS
const NEW_A_SECOND = 200
/** After that it leaves, and another one comes. */
const LIFE_MS = 5_000
/** Each takes one piece of what has arrived a second. */
const PARTS = 10
const PART_MS = 1_000 / PARTS

export const slowReads: Noise = ({ port, key, source }) => {
  const counts = new Counts()
  const readers = new Set<Socket>()
  const text = headOf({ field: 'x-api-key' }, key, `GET ${PATHS.large}`)
  const open = (): void => {
    if (readers.size >= READERS) return
    const socket = connect({ port, host: '127.0.0.1', localAddress: source })
    readers.add(socket)
    const life = setTimeout(() => socket.destroy(), LIFE_MS)
    let head = ''
    socket.on('error', () => {})
    socket.on('connect', () => socket.write(text))
    socket.on('data', piece => {
      socket.pause()
      counts.add('bytes', piece.length)
      if (head !== '') return
      head = piece.toString('latin1', 0, 12)
      counts.add(head.slice(9))
      if (!head.endsWith('200')) socket.destroy()
    })
    socket.on('close', () => {
      clearTimeout(life)
      if (head === '') counts.add('no answer')
      readers.delete(socket)
    })
  }
  let part = 0
  const reading = setInterval(() => {
    part = (part + 1) % PARTS
    let index = 0
    for (const reader of readers) {
      if (index % PARTS === part) reader.resume()
      index += 1
    }
  }, PART_MS)
  const stopPace = pace(NEW_A_SECOND, open)
  return {
    stop: async () => {
      stopPace()
      clearInterval(reading)
      const { all } = counts
      for (const reader of readers) reader.destroy()
      return Promise.resolve(all)
    },
  }
}
