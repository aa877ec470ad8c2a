/** The course of a scale benchmark. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../../test/support/free-ports.ts'
import { cpuSeconds, residentBytes } from '../harness/process-stat.ts'
import { PROXY_CPU, pinSelf } from '../harness/program.ts'
import { ratioOf, type Spread, spreadOf } from '../harness/statistics.ts'
import { startDeployment } from './deployment.ts'
import type { ScaleFigures } from './figures.ts'
import { Population } from './population.ts'
import { RunningProxy } from './running-proxy.ts'
import { callEach, makeVisits, type VisitFigures } from './visits.ts'

const WORKERS = 2
const TEN = 10
const AT_ONCE = 64
/** Rounds that do not count: V8 compiles, and its heap finds its size. */
const WARM_UP = 2
const SETTLE_MS = 1_000
/** Between two changes, so that each is one of its own. */
const BETWEEN_MS = 300

export interface ScaleOptions {
  readonly tenants: readonly number[]
  readonly changes: number
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
  const ten = await standingOf(populationOf(TEN), options)
  const reference = await RunningProxy.start(served(populationOf(TEN)))
  try {
    const figures: ScaleFigures[] = []
    for (const tenants of options.tenants) {
      const population = populationOf(tenants)
      const standing = tenants === TEN ? ten : await standingOf(population, options)
      const growth = standing.residentBytes - ten.residentBytes
      const load = await loadFigures(reference, population, options)
      const bytesATenant = tenants === TEN ? undefined : growth / (tenants - TEN)
      figures.push({ tenants, ...standing, bytesATenant, ...load })
    }
    return figures
  } finally {
    await reference.stop()
  }
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

/** Rounds of load, each right after the same on ten tenants: what the machine does to both falls out. */
async function loadFigures(
  reference: RunningProxy,
  population: Population,
  options: ScaleOptions,
): Promise<Pick<ScaleFigures, 'cpuMicros' | 'callsASecond' | 'cpuRatio' | 'rateRatio'>> {
  const { size } = population
  const { rounds, progress } = options
  const proxy = await RunningProxy.start(served(population))
  try {
    const ours: Round[] = []
    const theirs: Round[] = []
    for (let round = -WARM_UP; round < rounds; round += 1) {
      const before = await roundOf(reference, TEN, options, WARM_UP + round)
      const after = await roundOf(proxy, size, options, WARM_UP + round)
      progress(
        `${size} tenants: ${after.cpuMicros.toFixed(1)} µs a call, ten: ${before.cpuMicros.toFixed(1)}`,
      )
      if (round < 0) continue
      theirs.push(before)
      ours.push(after)
    }
    const cpu = (of: readonly Round[]): number[] => of.map(({ cpuMicros }) => cpuMicros)
    const rate = (of: readonly Round[]): number[] => of.map(({ callsASecond }) => callsASecond)
    return {
      cpuMicros: spreadOf(cpu(ours)),
      callsASecond: spreadOf(rate(ours)),
      cpuRatio: ratioOf(cpu(ours), cpu(theirs)),
      rateRatio: ratioOf(rate(ours), rate(theirs)),
    }
  } finally {
    await proxy.stop()
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
