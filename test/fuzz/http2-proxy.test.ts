/** Damaged frames to a running proxy, from clients and from deployments: see `Http2FuzzLab` for what must hold. */
import fc from 'fast-check'
import { t as root, type Test, test } from 'tap'
import { budgetMs, SEED, Search, timeoutMs } from '../support/fuzz/budget.ts'
import { Http2FuzzLab } from '../support/fuzz/http2-lab.ts'
import { bytesInPieces, caseLine, mutateFrames } from '../support/fuzz/http2-mutate.ts'
import { clientSessions, type MadeSession, serverSessions } from '../support/fuzz/http2-sessions.ts'
import { MemoryWatch } from '../support/fuzz/memory.ts'
import { framesBytes } from '../support/http2/wire-frames.ts'
import { turns } from '../support/raw-client.ts'
import { SeededRandom } from '../support/seeded-random.ts'

root.setTimeout(timeoutMs('http2-proxy'))
/** A search that finds more than this has found one fault very often. */
const MAX_FINDINGS = 5
const WARM = 300
const TURNS = 1_000
/** Of cases that are left as they are: they have to be understood. */
const WHOLE = 0.1

/** Most cases of a deployment end with the timeout of an answer: one at a time these are two a second. */
const DEPLOYMENT_LANES = 24

interface FuzzedEnd {
  readonly name: string
  readonly corpus: readonly MadeSession[]
  /** Each makes one case after the other, beside the others. */
  readonly lanes: readonly Lane[]
}

interface Lane {
  readonly random: SeededRandom
  readonly run: (pieces: readonly Buffer[], streams: number) => Promise<string[]>
}

async function search(t: Test, { name, corpus, lanes }: FuzzedEnd): Promise<void> {
  t.comment(`FUZZ_SEED=${SEED}`)
  const memory = new MemoryWatch()
  const found = new Search(`HTTP/2 proxy, ${name}`, budgetMs('http2-proxy') / 2, line =>
    t.comment(line),
  )
  const underWay = new Map<Lane, Buffer>()
  const onThrow = (error: Error): void => {
    for (const bytes of underWay.values())
      console.error(`thrown at ${caseLine(bytes)}, perhaps: ${error.message}`)
  }
  process.on('uncaughtExceptionMonitor', onThrow)
  let findings = 0
  const searchIn = async (lane: Lane): Promise<void> => {
    const { random, run } = lane
    while (findings < MAX_FINDINGS && found.next(() => `${corpus.length} in the corpus`)) {
      if (found.cases === WARM) memory.begin()
      const { frames, streams } = random.pick<MadeSession>(corpus)
      const bytes = random.chance(WHOLE)
        ? framesBytes(frames)
        : mutateFrames(random, frames, random.pick<MadeSession>(corpus).frames)
      underWay.set(lane, bytes)
      const faults = await run(bytesInPieces(random, bytes), streams)
      if (faults.length === 0) continue
      findings++
      t.fail(`${faults.join('; ')}: ${caseLine(bytes)}`)
    }
  }
  await Promise.all(lanes.map(searchIn))
  process.off('uncaughtExceptionMonitor', onThrow)
  if (found.cases > 2 * WARM) t.equal(memory.growth(), 0, 'no memory is left')
}

await test('no damaged frames of a client get through as anything but valid HTTP', async t => {
  const lab = await Http2FuzzLab.start()
  await search(t, {
    name: 'client',
    corpus: fc.sample(clientSessions, { seed: SEED, numRuns: 200 }),
    lanes: [{ random: SeededRandom.fork(SEED, 13), run: pieces => lab.fromClient(pieces) }],
  })
  t.ok(lab.arrived > 10, 'some got through')
  await finish(t, lab)
})

await test('no damaged frames of a deployment reach a client as anything but valid HTTP', async t => {
  const labs = await Promise.all(
    Array.from({ length: DEPLOYMENT_LANES }, async () => Http2FuzzLab.start()),
  )
  await search(t, {
    name: 'deployment',
    corpus: fc.sample(serverSessions, { seed: SEED, numRuns: 200 }),
    lanes: labs.map((lab, lane) => ({
      random: SeededRandom.fork(SEED, 14 + lane),
      run: (pieces, streams) => lab.fromDeployment(pieces, streams),
    })),
  })
  for (const lab of labs) await finish(t, lab)
})

async function finish(t: Test, lab: Http2FuzzLab): Promise<void> {
  const { worker } = lab.proxy
  t.equal(lab.internalErrors, 0)
  await lab.close()
  for (let turn = 0; turn < TURNS && worker.openConnections > 0; turn++) await turns(1)
  t.equal(worker.openConnections, 0, 'no connection is left')
}
