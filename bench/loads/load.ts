import type { Work } from '../harness/work.ts'

export interface LoadTarget {
  readonly work: Work
  /** Of the proxy, on 127.0.0.1. */
  readonly port: number
  /** For how long; what is under way at the end may be finished. */
  readonly seconds: number
  /** Calls a second, for a load that is paced; 0 otherwise. */
  readonly rate: number
}

/** What a load did; all of it was found right. */
export interface Outcome {
  /** Calls, GiB, messages or connections, whatever the figure of the lane counts. */
  readonly units: number
  readonly seconds: number
  /** Calls that the books of the proxy must hold because of it. */
  readonly calls: number
  /** Calls that its end cut off: they may be in those books or not. */
  readonly open: number
  /** Bytes of bodies or of a stream, both ways, that those books must hold at least. */
  readonly bytes: number
  readonly p50Ms?: number
  readonly p99Ms?: number
  /** What must be told with the figure, or nothing. */
  readonly note?: string | undefined
  /** Lets go of what was held so that it could be measured. */
  release?(): void
}

/** Rejected where one answer was wrong. Whoever called measures when it is fulfilled, and calls `release` then. */
export type Load = (target: LoadTarget) => Promise<Outcome>
