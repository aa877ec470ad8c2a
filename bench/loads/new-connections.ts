/** A new connection for each call, with a full TLS handshake where the work has TLS: wrk would resume sessions. */
import { Call, Caller } from '../harness/caller.ts'
import { percentile } from '../harness/statistics.ts'
import type { Load, LoadTarget } from './load.ts'

/** So many at once, each closed when its call was answered. The times are those from the first packet to that answer. */
export function newConnections(atOnce: number): Load {
  return async target => {
    const { work, seconds } = target
    const calls = work.tenants.map(tenant => new Call(work, tenant, 'Connection: close\r\n'))
    const started = performance.now()
    const times: number[] = []
    const openSome = async (first: number): Promise<void> => {
      for (let at = first; performance.now() - started < seconds * 1_000; at += atOnce)
        times.push(await timeOf(target, calls[at % calls.length] as Call))
    }
    await Promise.all(Array.from({ length: atOnce }, async (_, first) => openSome(first)))
    const taken = performance.now() - started
    const sorted = Float64Array.from(times).toSorted()
    return {
      units: times.length,
      seconds: taken / 1_000,
      calls: times.length,
      open: 0,
      bytes: 0,
      p50Ms: percentile(sorted, 0.5),
      p99Ms: percentile(sorted, 0.99),
    }
  }
}

async function timeOf({ work, port }: LoadTarget, call: Call): Promise<number> {
  const started = performance.now()
  const caller = await Caller.open(work, port)
  try {
    call.check(await caller.ask(call.text))
    return performance.now() - started
  } finally {
    await caller.close()
  }
}
