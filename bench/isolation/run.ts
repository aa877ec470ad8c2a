/** The course of the benchmark: every proxy started, warmed up, and taken through each scenario in turn, round by round. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../../test/support/free-ports.ts'
import { childrenOf, cpuSeconds } from '../harness/process-stat.ts'
import type { RunningPeer } from '../peers/peer.ts'
import { figuresOf, type Round, type ScenarioFigures } from './figures.ts'
import type { NoiseCounts } from './noise/noise.ts'
import type { IsolationPeer } from './peers/peer.ts'
import { favour, favourGroup } from './priority.ts'
import { ALONE, type Scenario } from './scenarios.ts'
import { Stage } from './stage.ts'

/** Until noise is what it will be. */
const SETTLE_MS = 1_500
/** Until nothing of it is left: rates are counted, and connections penalized, by the second. */
const REST_MS = 1_000

/**
 * The round before the first: like the others, and in no figure. The 99th percentile of three AMT, in five scenarios of 8 s each, was
 * 1.61 ms in a first round and 0.95 in the second (means), HAProxy's 0.87 and 0.74: presumably since V8 compiles anew when it first
 * comes from one scenario to the next. A proxy that has run for a day is past that, and so is the load.
 */
const UNCOUNTED = 0

export interface RunOptions {
  readonly scenarios: readonly Scenario[]
  readonly peers: readonly IsolationPeer[]
  /** Of quiet calls, for each proxy in each scenario of each round. */
  readonly seconds: number
  readonly rounds: number
  /** An empty one for this run alone. */
  readonly folder: string
  /** One line at a time, on what is being done. */
  readonly progress: (line: string) => void
}

export interface RunFigures {
  readonly figures: readonly ScenarioFigures[]
  /** Peers without figures, and why. */
  readonly absent: Readonly<Record<string, string>>
}

/** Everything that it starts has ended when it resolves or rejects. */
export async function runIsolation(options: RunOptions): Promise<RunFigures> {
  const restore = favourGroup()
  const stage = await Stage.set(options.folder)
  const run = new Run(stage, options)
  try {
    return await run.result()
  } finally {
    await run.stop()
    await stage.clear()
    restore()
  }
}

interface Contestant {
  readonly peer: IsolationPeer
  readonly running: RunningPeer
  readonly port: number
  readonly tlsPort: number
  /** Of each scenario. */
  readonly rounds: Map<string, Round[]>
}

class Run {
  readonly #stage: Stage
  readonly #options: RunOptions
  readonly #contestants = new Set<Contestant>()
  readonly #absent = new Map<string, string>()

  constructor(stage: Stage, options: RunOptions) {
    this.#stage = stage
    this.#options = options
  }

  async result(): Promise<RunFigures> {
    const { scenarios, rounds } = this.#options
    await this.#start()
    for (let round = UNCOUNTED; round <= rounds; round += 1)
      for (const scenario of scenarios)
        for (const contestant of rotated([...this.#contestants], round))
          await this.#attempt(contestant, async () => this.#measure(contestant, scenario, round))
    return { figures: [...this.#figures()], absent: Object.fromEntries(this.#absent) }
  }

  async stop(): Promise<void> {
    for (const { running } of this.#contestants) await running.stop()
    this.#contestants.clear()
  }

  async #start(): Promise<void> {
    const { peers, folder } = this.#options
    for (const peer of peers) {
      const absence = peer.absence()
      if (absence !== undefined) {
        this.#absent.set(peer.name, `absent: ${absence}`)
        continue
      }
      const own = join(folder, peer.name)
      mkdirSync(own)
      const [port = 0, tlsPort = 0] = await freePorts(2)
      const running = await peer.start({ scene: this.#stage.scene, folder: own, port, tlsPort })
      const contestant = { peer, running, port, tlsPort, rounds: new Map() }
      this.#contestants.add(contestant)
      await this.#attempt(contestant, async () => this.#warmUp(contestant))
    }
  }

  /** A quiet call that fails before there is noise is no load, but a mistake. */
  async #warmUp({ peer, port, tlsPort }: Contestant): Promise<void> {
    this.#options.progress(`${peer.name}: warms up`)
    const { errors } = await this.#stage.beQuiet(port, 1, 1)
    const [error] = Object.keys(errors)
    if (error !== undefined) throw new Error(error)
    const { scenarios, seconds } = this.#options
    const names = scenarios.map(({ name }) => name)
    await this.#stage.warmUp(names, { port, tlsPort }, seconds)
  }

  async #measure(contestant: Contestant, scenario: Scenario, round: number): Promise<void> {
    const { peer, running, port } = contestant
    const { seconds, rounds } = this.#options
    const { pid } = running.program
    const pids = [pid, ...childrenOf(pid)]
    favour(pids)
    await this.#stage.makeNoise([scenario.name], contestant)
    await sleep(SETTLE_MS)
    const before = cpuSeconds(pids)
    const begun = performance.now()
    const quiet = await this.#stage.beQuiet(port, seconds, round)
    const took = (performance.now() - begun) / 1_000
    const cpu = cpuSeconds(pids) - before
    const noise: NoiseCounts = (await this.#stage.beStill())[scenario.name] ?? {}
    running.program.check()
    const measured: Round = { quiet, noise, cpuSeconds: cpu, seconds: took }
    if (round !== UNCOUNTED) {
      const own = contestant.rounds.get(scenario.name) ?? []
      contestant.rounds.set(scenario.name, [...own, measured])
    }
    const { p50Ms, p99Ms, failed } = figuresOf({ scenario: '', peer: '' }, [measured])
    const name = round === UNCOUNTED ? 'uncounted round' : `round ${round} of ${rounds}`
    this.#options.progress(
      `${name}: ${scenario.name}: ${peer.name}: p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms, ${failed} failed`,
    )
    if (scenario.name !== ALONE) await sleep(REST_MS)
  }

  /** Who fails takes no further part, and has no figures. */
  async #attempt(contestant: Contestant, act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      this.#options.progress(`${contestant.peer.name}: FAILED: ${reason}`)
      this.#absent.set(contestant.peer.name, `failed: ${reason}`)
      this.#contestants.delete(contestant)
      await this.#stage.beStill()
      await contestant.running.stop()
    }
  }

  *#figures(): Generator<ScenarioFigures> {
    for (const { name: scenario } of this.#options.scenarios) {
      for (const { peer, rounds } of this.#contestants) {
        const own = rounds.get(scenario)
        if (own !== undefined) yield figuresOf({ scenario, peer: peer.name }, own)
      }
    }
  }
}

/** Whoever comes first in a scenario was slower than who came behind, for no known reason; so that is somebody else in each round. */
export function rotated<T>(items: readonly T[], by: number): readonly T[] {
  const first = by % Math.max(1, items.length)
  return [...items.slice(first), ...items.slice(0, first)]
}
