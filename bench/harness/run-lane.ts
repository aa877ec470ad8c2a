/** A lane: all its peers started, warmed up, and loaded in turn, so that what disturbs the machine disturbs all alike. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../../test/support/free-ports.ts'
import type { Lane } from '../lanes/lane.ts'
import type { Peer } from '../peers/peer.ts'
import { Contestant } from './contestant.ts'
import type { LaneResult, MeasuredPeer, PeerResult } from './result.ts'
import { ratioOf, spreadOf } from './statistics.ts'
import { startUpstream } from './upstream.ts'
import { prepareWork } from './work.ts'

/** So long that a JIT has seen what there is to see. */
const MIN_WARM_UP_SECONDS = 2

export interface LaneOptions {
  /** The first is the one that the others are compared with. */
  readonly peers: readonly Peer[]
  readonly seconds: number
  readonly rounds: number
  /** An empty one for this lane alone. */
  readonly folder: string
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
  #stopUpstream = async (): Promise<void> => {}

  constructor(lane: Lane, options: LaneOptions) {
    this.#lane = lane
    this.#options = options
  }

  async result(): Promise<LaneResult> {
    const { seconds, rounds, peers } = this.#options
    await this.#start()
    await this.#each('warms up', async contestant => {
      await contestant.round(Math.max(seconds, MIN_WARM_UP_SECONDS))
    })
    for (let round = 1; round <= rounds; round += 1) {
      await this.#each(`round ${round} of ${rounds}`, async contestant => {
        contestant.rounds.push(await contestant.round(seconds))
      })
    }
    await this.#each('audit', async contestant => contestant.audit())
    const { name, title } = this.#lane
    return { lane: name, title, peers: peers.map(peer => this.#resultOf(peer)) }
  }

  async stop(): Promise<void> {
    for (const contestant of this.#contestants.values()) await contestant.stop()
    await this.#stopUpstream()
  }

  async #start(): Promise<void> {
    const { folder, peers } = this.#options
    const work = await prepareWork(this.#lane, folder)
    const [upstream = 0] = await freePorts(1)
    const home = join(folder, 'upstream')
    mkdirSync(home)
    const program = await startUpstream(home, upstream)
    this.#stopUpstream = async () => program.stop()
    for (const peer of peers) {
      if (peer.absence(this.#lane) !== undefined) continue
      await this.#attempt(peer, async () => {
        this.#contestants.set(
          peer.name,
          await Contestant.start(peer, work, upstream, this.#options.folder),
        )
      })
    }
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
    const rounds = this.#contestants.get(peer.name)?.rounds ?? []
    const spread = (figure: keyof (typeof rounds)[number]) =>
      spreadOf(rounds.map(round => round[figure]))
    const first = this.#options.peers[0]
    const ours = this.#failures.has(first?.name ?? '')
      ? undefined
      : this.#contestants.get(first?.name ?? '')?.rounds
    const atLeast = this.#lane.atLeast[peer.name]
    return {
      kind: 'measured',
      peer: peer.name,
      version: peer.version(),
      rounds,
      cpuUs: spread('cpuUs'),
      cpuAllUs: spread('cpuAllUs'),
      callsPerSecond: spread('callsPerSecond'),
      p50Ms: spread('p50Ms'),
      p99Ms: spread('p99Ms'),
      ...(peer !== first && ours && { ratio: ratioOf(cpuOf(rounds), cpuOf(ours)) }),
      ...(atLeast !== undefined && { atLeast }),
    }
  }
}

function cpuOf(rounds: readonly { readonly cpuUs: number }[]): number[] {
  return rounds.map(({ cpuUs }) => cpuUs)
}
