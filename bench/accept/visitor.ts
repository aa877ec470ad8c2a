/** Visits one after the other or side by side, each over a new connection, and what became of them. */
import { connect, type Socket } from 'node:net'
import { ACCEPTED, QUESTION } from './ways.ts'

/** Longer than anything that still comes. */
const LATE_MS = 10_000

export class Visits {
  /** By the number of the worker that answered. */
  readonly answered = new Map<number, number>()
  /** Nobody listened. */
  refused = 0
  /** Connected, and closed before a worker had accepted: what waited in a queue. */
  lost = 0
  /** Closed when a worker had accepted and not yet answered. */
  cut = 0
  /** ms from the first packet to the answer. */
  readonly times: number[] = []

  get total(): number {
    return [...this.answered.values()].reduce((sum, count) => sum + count, 0)
  }

  /** Part of the visits that the busiest worker had, times the number of workers: 1 is even. */
  unevenness(workers: number): number {
    return (Math.max(0, ...this.answered.values()) * workers) / Math.max(1, this.total)
  }

  /** Never rejects. */
  async visit(port: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const started = performance.now()
    const socket = connect(port, '127.0.0.1')
    let connected = false
    let said = ''
    socket.setNoDelay(true).setTimeout(LATE_MS, () => socket.destroy())
    socket.on('connect', () => {
      connected = true
      socket.write(QUESTION)
    })
    socket.on('data', (bytes: Buffer) => {
      said += bytes.toString('latin1')
      // Leaves nothing behind, where a polite end would occupy a port of this side for a minute.
      if (said.length > ACCEPTED.length) socket.resetAndDestroy()
    })
    socket.on('error', () => {})
    socket.on('end', () => socket.destroy())
    socket.on('close', () => {
      this.#count(connected, said, performance.now() - started)
      resolve()
    })
    await promise
  }

  #count(connected: boolean, said: string, ms: number): void {
    if (!connected) this.refused += 1
    else if (said === '') this.lost += 1
    else if (said === ACCEPTED) this.cut += 1
    else {
      const worker = Number(said.slice(ACCEPTED.length))
      this.answered.set(worker, (this.answered.get(worker) ?? 0) + 1)
      this.times.push(ms)
    }
  }
}

/** So many at once, until `done`. */
export async function visitAll(port: number, atOnce: number, done: () => boolean): Promise<Visits> {
  const visits = new Visits()
  const row = async (): Promise<void> => {
    while (!done()) await visits.visit(port)
  }
  await Promise.all(Array.from({ length: atOnce }, row))
  return visits
}

/** Connections that stay, one after the other with a pause between; how many each worker has. */
export async function visitAndStay(port: number, count: number, pauseMs: number): Promise<Visits> {
  const visits = new Visits()
  const sockets: Socket[] = []
  for (let index = 0; index < count; index += 1) {
    const socket = connect(port, '127.0.0.1')
    sockets.push(socket)
    socket.on('error', () => {})
    await new Promise(resolve => socket.once('data', resolve))
    // So that they come one by one, as clients that stay do; nothing tells of that.
    await new Promise(resolve => setTimeout(resolve, pauseMs))
  }
  const answers = sockets.map(
    async socket =>
      new Promise<void>(resolve => {
        socket.once('data', (bytes: Buffer) => {
          const worker = Number(bytes.toString('latin1'))
          visits.answered.set(worker, (visits.answered.get(worker) ?? 0) + 1)
          socket.resetAndDestroy()
          resolve()
        })
        socket.write(QUESTION)
      }),
  )
  await Promise.all(answers)
  return visits
}
