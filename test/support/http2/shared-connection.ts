/** One connection with calls of many tenants under way at once, each as a seed says. */
import type { Test } from 'tap'
import { SeededRandom } from '../seeded-random.ts'
import type { FramePeer } from './frame-peer.ts'
import type { FrameStream } from './frame-stream.ts'
import {
  type Actors,
  type Billed,
  type Downstream,
  NOTHING,
  plus,
  type Story,
  type Told,
  type UsageLab,
} from './usage-lab.ts'

const SEED = Number(process.env['AMT_SEED'] ?? Date.now() % 2 ** 31)
const CALLS_OF_A_TENANT = 25
const MAX_BYTES = 60_000

/** What is told together is told by `tellShared`. */
export const SHARED: Story = { name: 'calls of many tenants', play: async () => NOTHING }

/** Every tenant's calls, one after the other, beside those of all others on the same connection. */
export async function tellShared(
  t: Test,
  lab: UsageLab,
  stories: readonly Told[],
): Promise<Map<Told, Billed>> {
  t.comment(`AMT_SEED=${SEED}`)
  const downstream = stories[0]?.downstream as Downstream
  const client = await lab.connect(t, downstream, { window: 8_000, granting: 'needed' })
  const told = await Promise.all(
    stories.map(async (story, index) => {
      const streams = await callsOf(t, client, lab.actors(t, story), SeededRandom.fork(SEED, index))
      return [story, streams] as const
    }),
  )
  await client.barrier()
  const streams = told.flatMap(([, own]) => own)
  t.equal(
    client.received - client.connectionReceived,
    streams.reduce((sum, { received }) => sum + received, 0),
    'no octet came that is not of one of these streams, or of the connection',
  )
  return new Map(
    told.map(([story, own]) => [
      story,
      own.reduce(
        (sum, { sent, received }) => plus(sum, { calls: 1, ingress: sent, egress: received }),
        NOTHING,
      ),
    ]),
  )
}

async function callsOf(
  t: Test,
  client: FramePeer,
  { head, deployment }: Actors,
  random: SeededRandom,
): Promise<FrameStream[]> {
  const streams: FrameStream[] = []
  for (let number = 0; number < CALLS_OF_A_TENANT; number++) {
    const body = random.chance(0.5) ? random.below(MAX_BYTES) : 0
    const answer = random.below(MAX_BYTES)
    const stream = client.request(head(body > 0 ? 'POST' : 'GET'), { end: body === 0 })
    streams.push(stream)
    const reset = random.weighted({ never: 6, body: body > 0 ? 1 : 0, answer: 1 })
    const half = Math.ceil(body / 2)
    stream.write(Buffer.alloc(reset === 'body' ? half : body, 'q'), {
      frame: random.between(100, 16_384),
      padding: random.chance(0.3) ? random.below(256) : 0,
    })
    if (body > 0 && reset !== 'body') stream.end(random.pick(['flag', 'frame'] as const))
    const call = await deployment.next()
    if (reset === 'body') {
      await call.until(() => call.received === half)
      await resetWhole(client, stream)
      continue
    }
    await call.until(() => call.ended)
    call.answer([['content-length', String(answer)]])
    if (reset === 'answer') {
      await stream.until(() => stream.status === 200)
      await resetWhole(client, stream)
      continue
    }
    for (let left = answer; left > 0; ) {
      const piece = Math.min(left, random.between(1, 30_000))
      call.data(Buffer.alloc(piece, 'a'))
      left -= piece
      if (random.chance(0.5)) await new Promise(resolve => setImmediate(resolve))
    }
    call.end()
    await stream.until(() => stream.over)
    if (stream.dataReceived !== answer || stream.uncertain !== 0)
      t.fail(`${stream.dataReceived} of ${answer} octets, ${stream.uncertain} uncertain`)
  }
  return streams
}

/** When it comes back, the place of the call is free. */
async function resetWhole(client: FramePeer, stream: FrameStream): Promise<void> {
  stream.reset()
  await client.barrier()
}
