/** What loads over HTTP/2 have in common: their connections are opened, do their work at the same time, and are closed. */
import { percentile } from '../harness/statistics.ts'
import type { LoadTarget } from './load.ts'

export interface Http2LoadOptions {
  readonly connections: number
  /** At once on each of them. */
  readonly streams: number
}

/** One of them. */
export interface LoadingConnection {
  /** Milliseconds of each unit of work. */
  readonly times: readonly number[]
  connect(port: number): Promise<void>
  /** Works as long as that time has not come; fulfilled when all that it began is done, rejected where something was wrong. */
  until(end: number, streams: number): Promise<void>
  close(): void
}

export interface WorkDone {
  readonly units: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** `make` gives the connection with that number. */
export async function loadConnections(
  { port, seconds }: LoadTarget,
  { connections, streams }: Http2LoadOptions,
  make: (number: number) => LoadingConnection,
): Promise<WorkDone> {
  const all = Array.from({ length: connections }, (_, number) => make(number))
  try {
    for (const connection of all) await connection.connect(port)
    const started = performance.now()
    const end = started + seconds * 1_000
    await Promise.all(all.map(async connection => connection.until(end, streams)))
    const taken = performance.now() - started
    const times = Float64Array.from(all.flatMap(connection => connection.times)).toSorted()
    return {
      units: times.length,
      seconds: taken / 1_000,
      p50Ms: percentile(times, 0.5),
      p99Ms: percentile(times, 0.99),
    }
  } finally {
    for (const connection of all) connection.close()
  }
}
