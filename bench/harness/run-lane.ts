/** A lane: all its peers started, warmed up, and loaded in turn, so that what disturbs the machine disturbs all alike. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../../test/support/free-ports.ts'
import type { Lane } from '../lanes/lane.ts'
import type { Load } from '../loads/load.ts'
import { wrk } from '../loads/wrk.ts'
import type { Peer } from '../peers/peer.ts'
import { Contestant } from './contestant.ts'
import type { LaneResult, MeasuredPeer, PeerResult, Round } from './result.ts'
import { ratioOf, spreadOf } from './statistics.ts'
import { targetOf } from './target.ts'
import { prepareWork } from './work.ts'

/** So few that what they leave behind does not count among ten thousand. */
const WARM_UP_CONNECTIONS = 16
/** So long that a JIT has seen what there is to see. */
const MIN_WARM_UP_SECONDS = 2

export interface LaneOptions {
  /** The first is the one that the others are compared with. */
  readonly peers: readonly Peer[]
  readonly seconds: number
  readonly rounds: number
  /** An empty one for this lane alone. */
  readonly folder: string
  /** File for a CPU profile of AMT, if one is asked for. */
  readonly profile?: string | undefined
  /** One line at a time, on what is being done. */
  readonly progress: (line: string) => void
}

export async function runLane(lane: Lane, options: LaneOptions): Promise<LaneResult> {
  const run = new LaneRun(lane, options)
  try {
    return await run.result()
  } finally {
    await run.stop()
  }
}

class LaneRun {
  readonly #lane: Lane
  readonly #options: LaneOptions
  readonly #contestants = new Map<string, Contestant>()
  readonly #failures = new Map<string, string>()
  #stopDeployment = async (): Promise<void> => {}

  constructor(lane: Lane, options: LaneOptions) {
    this.#lane = lane
    this.#options = options
  }

  async result(): Promise<LaneResult> {
    const { seconds, rounds, peers } = this.#options
    const { name, title, figure, load, fresh, pace } = this.#lane
    await this.#start()
    // A runtime compiles by the number of calls, and one that is paced would have few before it is measured.
    if (pace !== undefined) await this.#warmUp(pace.load, 0)
    const rate = await this.#pace()
    // A lane that measures growth must not have grown before; but a runtime that has served nothing has not even its heap.
    await this.#warmUp(fresh ? wrk({ connections: WARM_UP_CONNECTIONS }) : load, rate)
    const last = fresh ? 1 : rounds
    for (let round = 1; round <= last; round += 1) {
      await this.#each(`round ${round} of ${last}`, async contestant => {
        contestant.rounds.push(await contestant.round(load, seconds, rate))
      })
    }
    await this.#each('audit', async contestant => contestant.audit())
    return { lane: name, title, figure, peers: peers.map(peer => this.#resultOf(peer)) }
  }

  async stop(): Promise<void> {
    for (const contestant of this.#contestants.values()) await contestant.stop()
    await this.#stopDeployment()
  }

  async #start(): Promise<void> {
    const { folder, peers } = this.#options
    const work = await prepareWork(this.#lane, folder)
    const [upstream = 0] = await freePorts(1)
    const home = join(folder, 'upstream')
    mkdirSync(home)
    const program = await this.#lane.deployment(home, upstream)
    this.#stopDeployment = async () => program.stop()
    const setup = { work, upstream, parent: folder, profile: this.#options.profile }
    for (const peer of peers) {
      if (peer.absence(this.#lane) !== undefined) continue
      await this.#attempt(peer, async () => {
        this.#contestants.set(peer.name, await Contestant.start(peer, setup))
      })
    }
  }

  async #warmUp(load: Load, rate: number): Promise<void> {
    const seconds = Math.max(this.#options.seconds, MIN_WARM_UP_SECONDS)
    await this.#each('warms up', async contestant => {
      await contestant.round(load, seconds, rate)
    })
  }

  /** Calls a second for a load that is paced: a share of what one peer does at most. */
  async #pace(): Promise<number> {
    const { pace, name } = this.#lane
    if (!pace) return 0
    const { seconds, progress } = this.#options
    const first = [...this.#contestants.values()].find(({ peer }) => !this.#failures.has(peer.name))
    const model = this.#contestants.get(pace.of) ?? first
    if (!model) return 0
    progress(`${name}: ${model.peer.name}: how much it does at most`)
    const { units, seconds: taken } = await model.round(pace.load, seconds, 0)
    const rate = Math.floor((units / taken) * pace.share)
    progress(`${name}: ${rate} calls a second for all`)
    return rate
  }

  /** One after the other; who fails takes no further part. */
  async #each(stage: string, act: (contestant: Contestant) => Promise<void>): Promise<void> {
    for (const contestant of this.#contestants.values()) {
      const { peer } = contestant
      if (this.#failures.has(peer.name)) continue
      this.#options.progress(`${this.#lane.name}: ${peer.name}: ${stage}`)
      await this.#attempt(peer, async () => act(contestant))
    }
  }

  async #attempt(peer: Peer, act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      this.#failures.set(peer.name, reason)
      this.#options.progress(`${this.#lane.name}: ${peer.name}: FAILED: ${reason}`)
    }
  }

  #resultOf(peer: Peer): PeerResult {
    const absence = peer.absence(this.#lane)
    if (absence !== undefined) return { kind: 'absent', peer: peer.name, reason: absence }
    const reason = this.#failures.get(peer.name)
    if (reason !== undefined)
      return { kind: 'failed', peer: peer.name, version: peer.version(), reason }
    return this.#measured(peer)
  }

  #measured(peer: Peer): MeasuredPeer {
    const first = this.#options.peers[0]
    const [rounds, ours] = [this.#roundsOf(peer), first ? this.#roundsOf(first) : []]
    const figures = rounds.map(({ figure }) => figure)
    const compared = peer === first ? [] : ours.map(({ figure }) => figure)
    const target = targetOf(this.#lane, peer.name, { figures, ours: compared })
    return {
      kind: 'measured',
      peer: peer.name,
      version: peer.version(),
      rounds,
      figure: spreadOf(figures),
      figureAll: spreadOf(rounds.map(({ figureAll }) => figureAll)),
      rate: spreadOf(rounds.map(({ rate }) => rate)),
      ...latencyOf(rounds),
      ...(compared.length > 0 && { ratio: ratioOf(figures, compared) }),
      ...(target && { target }),
    }
  }

  /** None where it failed. */
  #roundsOf({ name }: Peer): readonly Round[] {
    return this.#failures.has(name) ? [] : (this.#contestants.get(name)?.rounds ?? [])
  }
}

function latencyOf(rounds: readonly Round[]): Pick<MeasuredPeer, 'p50Ms' | 'p99Ms'> {
  const of = (figure: 'p50Ms' | 'p99Ms'): number[] =>
    rounds.map(round => round[figure]).filter(value => value !== undefined)
  const [p50Ms, p99Ms] = [of('p50Ms'), of('p99Ms')]
  if (p50Ms.length === 0 || p99Ms.length === 0) return {}
  return { p50Ms: spreadOf(p50Ms), p99Ms: spreadOf(p99Ms) }
}
