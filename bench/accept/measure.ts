/** Each way of sharing an address, measured in turn: what a connection costs, how they spread, what the end of a worker costs. */
import { percentile } from '../harness/statistics.ts'
import { RunningServer } from './running-server.ts'
import { type Visits, visitAll, visitAndStay } from './visitor.ts'
import { WAYS, type Way } from './ways.ts'

/** About a full TLS handshake with P-256. */
const HANDSHAKE_US = 1_000
/** So that the queues are never empty while a worker ends. */
const ENDING_US = 300
const AT_ONCE = 64
/** Connections that stay, and how slowly they come: as long-lived ones do to a proxy with little to do. */
const STAYING = 400
const PAUSE_MS = 4
const REST_MS = 100

export interface AcceptOptions {
  readonly workers: number
  /** Of each load. */
  readonly seconds: number
  readonly rounds: number
  /** How many workers end in a round, by a drain, and as many again by a kill. */
  readonly ends: number
  readonly progress: (line: string) => void
}

/** New connections as fast as they go. */
export interface LoadFigures {
  readonly perSecond: number
  /** CPU µs a connection. */
  readonly primaryUs: number
  readonly workersUs: number
  readonly p99Ms: number
  readonly unevenness: number
}

/** What the ends of workers cost those who came meanwhile. */
export interface EndFigures {
  readonly ends: number
  readonly visits: number
  readonly refused: number
  readonly lost: number
  readonly cut: number
}

export interface WayFigures {
  readonly way: Way
  readonly plain: LoadFigures[]
  readonly handshakes: LoadFigures[]
  /** Unevenness of connections that stay. */
  readonly staying: number[]
  readonly drains: EndFigures[]
  readonly kills: EndFigures[]
}

export async function measureAccept(options: AcceptOptions): Promise<WayFigures[]> {
  const figures = WAYS.map(
    (way): WayFigures => ({ way, plain: [], handshakes: [], staying: [], drains: [], kills: [] }),
  )
  for (let round = 1; round <= options.rounds; round += 1)
    for (const of of figures) {
      options.progress(`round ${round} of ${options.rounds}: ${of.way}`)
      await measureWay(of, options)
    }
  return figures
}

async function measureWay(figures: WayFigures, options: AcceptOptions): Promise<void> {
  const { way, plain, handshakes, staying, drains, kills } = figures
  const { workers } = options
  await withServer({ way, workers, workUs: 0 }, async server => {
    plain.push(await load(server, options))
    const visits = await visitAndStay(server.port, STAYING, PAUSE_MS)
    staying.push(visits.unevenness(workers))
  })
  await withServer({ way, workers, workUs: HANDSHAKE_US }, async server => {
    handshakes.push(await load(server, options))
  })
  await withServer({ way, workers, workUs: ENDING_US }, async server => {
    drains.push(await endWorkers(server, 'drain', options))
    kills.push(await endWorkers(server, 'kill', options))
  })
}

async function withServer(
  options: Parameters<typeof RunningServer.start>[0],
  use: (server: RunningServer) => Promise<void>,
): Promise<void> {
  const server = await RunningServer.start(options)
  try {
    await use(server)
  } finally {
    await server.stop()
  }
}

async function load(
  server: RunningServer,
  { seconds, workers }: AcceptOptions,
): Promise<LoadFigures> {
  await visitFor(server, seconds / 4)
  const before = server.cpu()
  const started = performance.now()
  const visits = await visitFor(server, seconds)
  const taken = (performance.now() - started) / 1_000
  const after = server.cpu()
  const { total, times } = visits
  if (total === 0 || visits.refused + visits.lost + visits.cut > 0)
    throw new Error('visits failed while no worker ended')
  return {
    perSecond: total / taken,
    primaryUs: ((after.primary - before.primary) * 1e6) / total,
    workersUs: ((after.workers - before.workers) * 1e6) / total,
    p99Ms: percentile(Float64Array.from(times).toSorted(), 0.99),
    unevenness: visits.unevenness(workers),
  }
}

async function visitFor({ port }: RunningServer, seconds: number): Promise<Visits> {
  const end = performance.now() + seconds * 1_000
  return visitAll(port, AT_ONCE, () => performance.now() >= end)
}

/** Under load, one worker after the other. */
async function endWorkers(
  server: RunningServer,
  how: 'drain' | 'kill',
  { ends, workers }: AcceptOptions,
): Promise<EndFigures> {
  let done = false
  const visiting = visitAll(server.port, AT_ONCE, () => done)
  for (let end = 0; end < ends; end += 1) {
    // The load comes back to its full height; no event tells of that.
    await new Promise(resolve => setTimeout(resolve, REST_MS))
    await server.end(how, (end % workers) + 1)
  }
  done = true
  const { total, refused, lost, cut } = await visiting
  return { ends, visits: total, refused, lost, cut }
}
