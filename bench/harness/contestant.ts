/** One peer in one lane: started, shown to answer rightly, loaded round by round, audited, stopped. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../../test/support/free-ports.ts'
import type { Load, Outcome } from '../loads/load.ts'
import type { Peer, RunningPeer } from '../peers/peer.ts'
import { Http2Probe } from './http2-probe.ts'
import { CPU_ERROR_SECONDS, childrenOf, cpuSeconds, residentBytes } from './process-stat.ts'
import type { Round } from './result.ts'
import { Sampler } from './sample.ts'
import type { Work } from './work.ts'

export interface ContestantSetup {
  readonly work: Work
  /** Port of the deployment. */
  readonly upstream: number
  /** In which it gets a folder of its own. */
  readonly parent: string
  readonly profile?: string | undefined
}

export class Contestant {
  readonly peer: Peer
  readonly rounds: Round[] = []
  readonly #work: Work
  readonly #port: number
  readonly #running: RunningPeer
  /** What its books must hold, rounds or not. */
  readonly #books = { calls: 0, open: 0, bytes: 0 }

  private constructor(peer: Peer, work: Work, port: number, running: RunningPeer) {
    this.peer = peer
    this.#work = work
    this.#port = port
    this.#running = running
  }

  /** Started, and right for each tenant and for a stranger. Rejected if it is not; then nothing of it runs. */
  static async start(
    peer: Peer,
    { work, upstream, parent, profile }: ContestantSetup,
  ): Promise<Contestant> {
    const folder = join(parent, peer.name)
    mkdirSync(folder)
    const [port = 0] = await freePorts(1)
    const running = await peer.start({ work, folder, upstream, port, profile })
    const contestant = new Contestant(peer, work, port, running)
    try {
      await contestant.#prove()
      return contestant
    } catch (error) {
      await running.stop()
      throw error
    }
  }

  /** Loads it for that long, at that rate where the load is paced. Throws if an answer was wrong. */
  async round(load: Load, seconds: number, rate: number): Promise<Round> {
    const carriers = this.#carriers()
    const all = [...new Set([this.#running.program.pid, ...carriers])]
    const before = useOf(carriers, all)
    const outcome = await load({ work: this.#work, port: this.#port, seconds, rate })
    try {
      this.#books.calls += outcome.calls
      this.#books.open += outcome.open
      this.#books.bytes += outcome.bytes
      return roundOf(this.#work, outcome, before, useOf(carriers, all))
    } finally {
      outcome.release?.()
    }
  }

  /** Throws if its own books are wrong. */
  async audit(): Promise<void> {
    await this.#running.audit?.(this.#books)
  }

  async stop(): Promise<void> {
    await this.#running.stop()
  }

  async #prove(): Promise<void> {
    const probe = await openProbe(this.#work, this.#port)
    try {
      await probe.all()
      if (this.#work.field !== '') this.#books.calls += this.#work.tenants.length
    } finally {
      await probe.close()
    }
    // Where the address says whose traffic it is there is no stranger.
    if (!this.peer.checks || this.#work.field === '') return
    const stranger = await openProbe(this.#work, this.#port)
    try {
      await stranger.refused()
    } finally {
      await stranger.close()
    }
  }

  /** The processes that carry the traffic: those that it has started, or itself. */
  #carriers(): number[] {
    const { pid } = this.#running.program
    const children = childrenOf(pid)
    return children.length > 0 ? children : [pid]
  }
}

/** Calls one at a time, each looked at byte by byte. */
type Probe = Pick<Sampler, 'all' | 'refused' | 'close'>

async function openProbe(work: Work, port: number): Promise<Probe> {
  return work.lane.http2 ? Http2Probe.open(work, port) : Sampler.open(work, port)
}

interface Use {
  readonly cpu: number
  readonly cpuAll: number
  readonly resident: number
}

function useOf(carriers: readonly number[], all: readonly number[]): Use {
  return {
    cpu: cpuSeconds(carriers),
    cpuAll: cpuSeconds(all),
    resident: residentBytes(carriers),
  }
}

function roundOf({ lane }: Work, outcome: Outcome, before: Use, after: Use): Round {
  const { units, seconds, p50Ms, p99Ms, note } = outcome
  const cpu = after.cpu - before.cpu
  const measured = {
    units,
    seconds,
    cpuSeconds: cpu,
    residentBytes: after.resident - before.resident,
    p50Ms,
    p99Ms,
  }
  return {
    ...measured,
    figure: lane.figure.of(measured),
    figureAll: lane.figure.of({ ...measured, cpuSeconds: after.cpuAll - before.cpuAll }),
    rate: lane.figure.rate.of(measured),
    clockError: CPU_ERROR_SECONDS / cpu,
    busy: cpu / seconds,
    note,
  }
}
