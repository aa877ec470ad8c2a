/** Kinds of noise that are calls over kept connections: open-loop, so that a slow proxy gets no fewer of them. */
import type { Answer } from '../../harness/answer.ts'
import { headOf } from '../../harness/caller.ts'
import { CallerPool } from '../caller-pool.ts'
import { BAD_CREDENTIALS, CALLS, CONCURRENCY, EXCESS } from '../limits.ts'
import { PATHS } from '../scene.ts'
import { Counts, type Noise, type NoiseTarget } from './noise.ts'
import { pace } from './pace.ts'

const MAX_CONNECTIONS = 512
/** After so long a client of a hung deployment gives up. */
const PATIENCE_MS = 2_000

interface Calls {
  readonly perSecond: number
  readonly connections: number
  readonly text: (target: NoiseTarget) => () => string
}

/** Ten times the calls that the tenant may make. */
export const flood: Noise = callsOf({
  perSecond: CALLS * EXCESS,
  connections: MAX_CONNECTIONS,
  text: ({ key }) => {
    const text = headOf({ field: 'x-api-key' }, key, `GET ${PATHS.call}`)
    return () => text
  },
})

/** No more calls than it may make, but none is ever answered, and ten times as many wait as may be under way. */
export const hung: Noise = callsOf({
  perSecond: CALLS,
  connections: CONCURRENCY * EXCESS,
  text: ({ key }) => {
    const text = headOf({ field: 'x-api-key' }, key, `GET ${PATHS.hung}`)
    return () => text
  },
})

/** Tokens with wrong signatures, no two alike. */
export const badTokens: Noise = callsOf({
  perSecond: BAD_CREDENTIALS * EXCESS,
  connections: MAX_CONNECTIONS,
  text: ({ badToken }) => {
    const [header = '', payload = '', signature = ''] = badToken.split('.')
    const claims = Buffer.from(payload, 'base64url').toString('utf8').slice(0, -1)
    let made = 0
    return () => {
      made += 1
      const own = Buffer.from(`${claims},"jti":"${made}"}`).toString('base64url')
      const token = `${header}.${own}.${signature}`
      return headOf({ field: 'authorization' }, token, `GET ${PATHS.call}`)
    }
  },
})

function callsOf({ perSecond, connections, text }: Calls): Noise {
  return target => {
    const pool = new CallerPool({ port: target.port, from: target.source, most: connections })
    const counts = new Counts()
    const next = text(target)
    const stopPace = pace(perSecond, () => void makeCall(pool, next(), counts))
    return {
      stop: async () => {
        stopPace()
        const { all } = counts
        await pool.close()
        return all
      },
    }
  }
}

async function makeCall(pool: CallerPool, text: string, counts: Counts): Promise<void> {
  try {
    const caller = await pool.take()
    const giveUp = setTimeout(() => void caller.close(), PATIENCE_MS)
    const answer = await new Promise<Answer | Error>(resolve => {
      caller.call(text, resolve)
    })
    clearTimeout(giveUp)
    counts.add(answer instanceof Error ? 'no answer' : String(answer.status))
    pool.put(caller, !(answer instanceof Error || answer.closes))
  } catch (error) {
    counts.add(error instanceof Error ? error.message : String(error))
  }
}
