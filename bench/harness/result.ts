/** What a run of the benchmark found; `--json` writes it as it is. */
import type { Figure, Measured } from './figure.ts'
import type { Spread } from './statistics.ts'
import type { Target } from './target.ts'

export interface Round extends Measured {
  /** In the unit of the lane, of the processes that carry traffic. */
  readonly figure: number
  /** The same with the CPU of those that only look after them (AMT's primary, nginx's master). */
  readonly figureAll: number
  readonly rate: number
  /** By how much CPU may be off because the clock of /proc ticks in 10 ms; 0.01 is one per cent. */
  readonly clockError: number
  /** Share of its CPU that the proxy used; well below 1 it was the load that was the limit, and latency says little. */
  readonly busy: number
  readonly note: string | undefined
}

export type PeerResult =
  /** It is not here, or cannot do this work; `reason` is for the reader. */
  | { readonly kind: 'absent'; readonly peer: string; readonly reason: string }
  /** It gave a wrong answer, or none: no figure of it counts. */
  | {
      readonly kind: 'failed'
      readonly peer: string
      readonly version: string
      readonly reason: string
    }
  | MeasuredPeer

export interface MeasuredPeer {
  readonly kind: 'measured'
  readonly peer: string
  readonly version: string
  readonly rounds: readonly Round[]
  readonly figure: Spread
  readonly figureAll: Spread
  readonly rate: Spread
  /** Where the load measures latency. */
  readonly p50Ms?: Spread
  readonly p99Ms?: Spread
  /** The figure of this peer over that of AMT; above 1 AMT is better. Missing for AMT itself, or if AMT failed. */
  readonly ratio?: Spread
  /** What was asked for. */
  readonly target?: Target
}

export interface LaneResult {
  readonly lane: string
  readonly title: string
  readonly figure: Omit<Figure, 'of'>
  readonly peers: readonly PeerResult[]
}

export interface Machine {
  readonly cpu: string
  readonly cpus: number
  readonly kernel: string
  readonly node: string
  readonly commit: string
  /** One-minute load average before the run: above 0.5 somebody else was at work. */
  readonly load: number
}

export interface BenchResult {
  readonly started: string
  readonly machine: Machine
  readonly seconds: number
  readonly rounds: number
  readonly lanes: readonly LaneResult[]
}
