/** One peer in one lane: started, shown to answer rightly, loaded round by round, audited, stopped. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../../test/support/free-ports.ts'
import type { Peer, RunningPeer } from '../peers/peer.ts'
import { CPU_ERROR_SECONDS, childrenOf, cpuSeconds } from './cpu-time.ts'
import { faultOf, runLoad } from './load.ts'
import type { Round } from './result.ts'
import { Sampler, WrongAnswer } from './sample.ts'
import type { Work } from './work.ts'

export class Contestant {
  readonly peer: Peer
  readonly rounds: Round[] = []
  readonly #work: Work
  readonly #port: number
  readonly #running: RunningPeer
  /** Right answers so far, in rounds or not. */
  #calls = 0
  /** How many calls the ends of rounds may have cut off: their deployment saw them, nobody counted them here. */
  #open = 0

  private constructor(peer: Peer, work: Work, port: number, running: RunningPeer) {
    this.peer = peer
    this.#work = work
    this.#port = port
    this.#running = running
  }

  /** Started, and right for each tenant and for a stranger. Rejected if it is not; then nothing of it runs. */
  static async start(
    peer: Peer,
    work: Work,
    upstream: number,
    parent: string,
  ): Promise<Contestant> {
    const folder = join(parent, peer.name)
    mkdirSync(folder)
    const [port = 0] = await freePorts(1)
    const running = await peer.start({ work, folder, upstream, port })
    const contestant = new Contestant(peer, work, port, running)
    try {
      await contestant.#prove()
      return contestant
    } catch (error) {
      await running.stop()
      throw error
    }
  }

  /** Loads it for that long. Throws if an answer was wrong. */
  async round(seconds: number): Promise<Round> {
    const sampler = await Sampler.open(this.#work, this.#port)
    const carriers = this.#carriers()
    const all = [...new Set([this.#running.program.pid, ...carriers])]
    try {
      const [before, allBefore] = [cpuSeconds(carriers), cpuSeconds(all)]
      const loading = runLoad(this.#work, this.#port, seconds)
      const [load, samples] = await Promise.all([loading, sampler.during(loading)])
      const [cpu, cpuAll] = [cpuSeconds(carriers) - before, cpuSeconds(all) - allBefore]
      const { connections } = this.#work.lane
      const fault = faultOf(load, connections, sampler.lengths)
      if (fault !== undefined) throw new WrongAnswer(fault)
      const calls = load.requests + samples
      this.#calls += calls
      this.#open += connections
      const measured = load.durationUs / 1e6
      return {
        calls,
        seconds: measured,
        cpuUs: (cpu * 1e6) / calls,
        cpuAllUs: (cpuAll * 1e6) / calls,
        clockError: CPU_ERROR_SECONDS / cpu,
        busy: cpu / measured,
        callsPerSecond: load.requests / measured,
        p50Ms: load.p50Us / 1_000,
        p99Ms: load.p99Us / 1_000,
      }
    } finally {
      sampler.close()
    }
  }

  /** Throws if its own books are wrong. */
  async audit(): Promise<void> {
    await this.#running.audit?.(this.#calls, this.#open)
  }

  async stop(): Promise<void> {
    await this.#running.stop()
  }

  async #prove(): Promise<void> {
    const sampler = await Sampler.open(this.#work, this.#port)
    try {
      await sampler.all()
      this.#calls += this.#work.tenants.length
    } finally {
      sampler.close()
    }
    if (!this.peer.checks) return
    const stranger = await Sampler.open(this.#work, this.#port)
    try {
      await stranger.refused()
    } finally {
      stranger.close()
    }
  }

  #carriers(): number[] {
    const { pid } = this.#running.program
    const children = childrenOf(pid)
    return children.length > 0 ? children : [pid]
  }
}
