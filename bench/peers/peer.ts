import type { Program } from '../harness/program.ts'
import type { Work } from '../harness/work.ts'
import type { Lane } from '../lanes/lane.ts'

export interface PeerSetup {
  readonly work: Work
  /** An empty one for this peer alone. */
  readonly folder: string
  /** Port of the deployment of all tenants, on 127.0.0.1. */
  readonly upstream: number
  /** Where to listen, on 127.0.0.1. */
  readonly port: number
  /** Where to leave a CPU profile of the process that carries the traffic, if one is asked for. AMT alone does it. */
  readonly profile?: string | undefined
}

/** What the books of a proxy must hold. */
export interface Books {
  readonly calls: number
  /** So many more may have been under way at an end. */
  readonly open: number
  /** Bytes both ways, at least. */
  readonly bytes: number
}

export interface RunningPeer {
  /** It listens. The processes that it has started carry the traffic, or it does so itself where it has none. */
  readonly program: Program
  /** Throws if its own books are wrong. */
  audit?(expected: Books): Promise<void>
  /** Ends everything that it started. */
  stop(): Promise<void>
}

/** A proxy with the configuration that an expert would give it for the same work. */
export interface Peer {
  readonly name: string
  /** Refuses what has no valid credential; only a spike need not. */
  readonly checks: boolean
  /** Why it cannot take part in this lane on this machine; `undefined` where it can. */
  absence(lane: Lane): string | undefined
  version(): string
  start(setup: PeerSetup): Promise<RunningPeer>
}
