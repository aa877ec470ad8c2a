/** The course of a scale benchmark. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../../test/support/free-ports.ts'
import { cpuSeconds, residentBytes } from '../harness/process-stat.ts'
import { PROXY_CPU, pinSelf } from '../harness/program.ts'
import { quartilesOf, type Spread, spreadOf } from '../harness/statistics.ts'
import { startDeployment } from './deployment.ts'
import type { ScaleFigures } from './figures.ts'
import { Population } from './population.ts'
import { RunningProxy } from './running-proxy.ts'
import { callEach, makeVisits, type VisitFigures } from './visits.ts'

const WORKERS = 2
const TEN = 10
const AT_ONCE = 64
/** Rounds that do not count: V8 compiles, and its heap finds its size. */
const WARM_UP = 3
/** So that no two rounds of a run visit the same tenants. */
const SEEDS = 1_000
const SETTLE_MS = 1_000
/** Between two changes, so that each is one of its own. */
const BETWEEN_MS = 300

export interface ScaleOptions {
  readonly tenants: readonly number[]
  readonly changes: number
  /** Of processes, and rounds of each pair. */
  readonly pairs: number
  readonly rounds: number
  readonly seconds: number
  readonly calls: number
  readonly progress: (line: string) => void
}

/** Of starts, changes and memory. */
interface Standing {
  readonly startSeconds: number
  readonly lineMs: Spread
  readonly fileMs: Spread
  readonly residentBytes: number
}

interface Round {
  readonly cpuMicros: number
  readonly callsASecond: number
}

interface PairOfRounds {
  readonly ten: Round
  readonly ours: Round
}

/** Everything that it starts has ended, and its files are gone, when it resolves or rejects. */
export async function measureScale(options: ScaleOptions): Promise<ScaleFigures[]> {
  const folder = mkdtempSync(join(tmpdir(), 'amt-scale-'))
  pinSelf()
  const [port = 0] = await freePorts(1)
  const deployment = await startDeployment(folder, port, options.calls)
  try {
    const populationOf = (size: number): Population =>
      new Population(mkdtempSync(join(folder, 'tenants-')), size, port)
    return await measureAll(options, populationOf)
  } finally {
    await deployment.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measureAll(
  options: ScaleOptions,
  populationOf: (size: number) => Population,
): Promise<ScaleFigures[]> {
  options.progress(`${TEN} tenants, to compare with`)
  const few = populationOf(TEN)
  const ten = await standingOf(few, options)
  const figures: ScaleFigures[] = []
  for (const tenants of options.tenants) {
    const population = populationOf(tenants)
    const standing = tenants === TEN ? ten : await standingOf(population, options)
    const growth = standing.residentBytes - ten.residentBytes
    const bytesATenant = tenants === TEN ? undefined : growth / (tenants - TEN)
    const load = await loadFigures(few, population, options)
    figures.push({ tenants, ...standing, bytesATenant, ...load })
  }
  return figures
}

/** All that shows without load. */
async function standingOf(
  population: Population,
  { changes, progress }: ScaleOptions,
): Promise<Standing> {
  const { size } = population
  progress(`${size} tenants: start with ${WORKERS} workers`)
  const proxy = await RunningProxy.start({ population, workers: WORKERS })
  try {
    const cpu = [[proxy.primary], proxy.workers].map(pids => cpuSeconds(pids).toFixed(2))
    await sleep(SETTLE_MS)
    const resident = residentBytes(proxy.workers) / WORKERS
    const seconds = (proxy.startMs / 1_000).toFixed(2)
    progress(
      `${size} tenants: started in ${seconds} s, CPU ${cpu[0]} s of the primary, ${cpu[1]} s of the workers; ${changes} changes`,
    )
    const lineMs = await timesOf(proxy, changes, () => population.changeLine())
    const fileMs = await timesOf(proxy, changes, () => population.changeFile())
    await callEach(proxy.port, sampleOf(size))
    return { startSeconds: proxy.startMs / 1_000, lineMs, fileMs, residentBytes: resident }
  } finally {
    await proxy.stop()
  }
}

async function timesOf(
  proxy: RunningProxy,
  count: number,
  prepare: () => () => void,
): Promise<Spread> {
  const times: number[] = []
  for (let each = 0; each < count; each += 1) {
    await sleep(BETWEEN_MS)
    times.push(await proxy.timeOf(prepare()))
  }
  return spreadOf(times)
}

/**
 * Pairs of processes, of which each has rounds of load, each right after the same on ten tenants: what the machine does to both
 * falls out, and so does what differs from one process to the next.
 */
async function loadFigures(
  few: Population,
  population: Population,
  options: ScaleOptions,
): Promise<Pick<ScaleFigures, 'cpuMicros' | 'callsASecond' | 'cpuRatio' | 'rateRatio'>> {
  const { pairs, progress } = options
  const rounds: PairOfRounds[] = []
  for (let pair = 1; pair <= pairs; pair += 1) {
    const made = await roundsOfPair(few, population, options, pair)
    rounds.push(...made)
    const sum = summaryOf(made)
    progress(
      `${population.size} tenants: ${sum.cpuMicros.median.toFixed(1)} µs a call, ${sum.cpuRatio.median.toFixed(2)} of that with ten, pair ${pair} of ${pairs}`,
    )
  }
  return summaryOf(rounds)
}

function summaryOf(
  rounds: readonly PairOfRounds[],
): Pick<ScaleFigures, 'cpuMicros' | 'callsASecond' | 'cpuRatio' | 'rateRatio'> {
  return {
    cpuMicros: quartilesOf(rounds.map(({ ours }) => ours.cpuMicros)),
    callsASecond: quartilesOf(rounds.map(({ ours }) => ours.callsASecond)),
    cpuRatio: quartilesOf(rounds.map(({ ours, ten }) => ours.cpuMicros / ten.cpuMicros)),
    rateRatio: quartilesOf(rounds.map(({ ours, ten }) => ours.callsASecond / ten.callsASecond)),
  }
}

async function roundsOfPair(
  few: Population,
  population: Population,
  options: ScaleOptions,
  pair: number,
): Promise<PairOfRounds[]> {
  const reference = await RunningProxy.start(served(few))
  try {
    const proxy = await RunningProxy.start(served(population))
    try {
      const all: PairOfRounds[] = []
      for (let round = 0; round < WARM_UP + options.rounds; round += 1) {
        const seed = pair * SEEDS + round
        const ten = await roundOf(reference, TEN, options, seed)
        const ours = await roundOf(proxy, population.size, options, seed)
        if (round >= WARM_UP) all.push({ ten, ours })
      }
      return all
    } finally {
      await proxy.stop()
    }
  } finally {
    await reference.stop()
  }
}

async function roundOf(
  proxy: RunningProxy,
  tenants: number,
  { seconds, calls }: ScaleOptions,
  seed: number,
): Promise<Round> {
  const pids = [proxy.primary, ...proxy.workers]
  const before = cpuSeconds(pids)
  const made: VisitFigures = await makeVisits({
    port: proxy.port,
    tenants,
    atOnce: AT_ONCE,
    calls,
    seconds,
    seed,
  })
  return {
    cpuMicros: ((cpuSeconds(pids) - before) * 1e6) / made.calls,
    callsASecond: made.calls / made.seconds,
  }
}

function served(population: Population): { population: Population; workers: number; cpu: number } {
  return { population, workers: 1, cpu: PROXY_CPU }
}

/** Some tenants from all over. */
function sampleOf(size: number): number[] {
  const count = Math.min(size, 50)
  return Array.from({ length: count }, (_, index) => Math.floor((index * size) / count))
}
