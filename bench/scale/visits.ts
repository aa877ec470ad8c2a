/**
 * The load of a scale benchmark: clients of tenants drawn at random from all. A visit is a connection of one client, which
 * makes some calls one after the other, sees each byte of the answers, and goes.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { SeededRandom } from '../../test/support/seeded-random.ts'
import { answerTo } from '../deployments/deployment.ts'
import { WrongAnswer } from '../harness/answer.ts'
import { headOf } from '../harness/caller.ts'
import { idOf, keyOf, LOOPBACKS } from './population.ts'

const PATH = '/v1/orders/4711'
const ANSWER_MS = 10_000

export interface VisitOptions {
  readonly port: number
  readonly tenants: number
  /** Visits at once, and calls of each. */
  readonly atOnce: number
  readonly calls: number
  readonly seconds: number
  readonly seed: number
}

export interface VisitFigures {
  readonly calls: number
  readonly visits: number
  readonly seconds: number
}

/** Throws `WrongAnswer` for the first one that is. */
export async function makeVisits(options: VisitOptions): Promise<VisitFigures> {
  const { atOnce, seconds, tenants, calls } = options
  const random = new SeededRandom(options.seed)
  const started = performance.now()
  let visits = 0
  const visitUntilTheEnd = async (): Promise<void> => {
    while (performance.now() - started < seconds * 1_000) {
      await visit(options.port, random.below(tenants), calls)
      visits += 1
    }
  }
  await Promise.all(Array.from({ length: atOnce }, visitUntilTheEnd))
  return { calls: visits * calls, visits, seconds: (performance.now() - started) / 1_000 }
}

/** One call of each tenant in `indexes`, each on a connection of its own. */
export async function callEach(port: number, indexes: Iterable<number>): Promise<void> {
  for (const index of indexes) await visit(port, index, 1)
}

async function visit(port: number, index: number, calls: number): Promise<void> {
  const localAddress = `127.0.0.${1 + (index % LOOPBACKS)}`
  const socket = connect({ port, host: '127.0.0.1', localAddress })
  socket.setNoDelay(true)
  await once(socket, 'connect')
  try {
    await converse(socket, index, calls)
  } finally {
    socket.destroy()
  }
}

/** Makes the calls by events: a promise a call would cost the load more than the call. */
async function converse(socket: Socket, index: number, calls: number): Promise<void> {
  const request = headOf({ field: 'x-api-key' }, keyOf(index), `GET ${PATH}`)
  const body = `\r\n\r\n${answerTo(idOf(index), '')}`
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const wrong = (what: string): void => reject(new WrongAnswer(`${idOf(index)}: ${what}`))
  let [left, text] = [calls, '']
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    if (!text.endsWith(body)) {
      if (text.length > body.length + 4_096) wrong(text.slice(0, 500))
      return
    }
    if (!text.startsWith('HTTP/1.1 200 ')) wrong(text.slice(0, 500))
    text = ''
    left -= 1
    if (left === 0) resolve()
    else socket.write(request, 'latin1')
  })
  socket.on('error', error => wrong(error.message))
  socket.on('close', () => wrong(`closed; so far ${text.slice(0, 500)}`))
  socket.setTimeout(ANSWER_MS, () => wrong(`no answer; so far ${text.slice(0, 500)}`))
  socket.write(request, 'latin1')
  await promise
}
