/** A new connection for each call, over TLS with a full handshake or a resumed one, as the load says: wrk would choose itself. */
import { WrongAnswer } from '../harness/answer.ts'
import { Call, Caller } from '../harness/caller.ts'
import { percentile } from '../harness/statistics.ts'
import type { Load, LoadTarget, Outcome } from './load.ts'

/** So many at once, each closed when its call was answered. The times are those from the first packet to that answer. */
export function newConnections(atOnce: number): Load {
  return async target => load(target, atOnce, () => new FullHandshakes(target))
}

/** The same, and each resumes the session of the one before it. */
export function resumedConnections(atOnce: number): Load {
  return async target => load(target, atOnce, () => new ResumedSessions(target))
}

/** Connections one after the other. */
interface Row {
  /** Milliseconds. */
  timeOf(call: Call): Promise<number>
}

async function load(target: LoadTarget, atOnce: number, rowOf: () => Row): Promise<Outcome> {
  const { work, seconds } = target
  const calls = work.tenants.map(tenant => new Call(work, tenant, 'Connection: close\r\n'))
  const started = performance.now()
  const times: number[] = []
  const openSome = async (first: number): Promise<void> => {
    const row = rowOf()
    for (let at = first; performance.now() - started < seconds * 1_000; at += atOnce)
      times.push(await row.timeOf(calls[at % calls.length] as Call))
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

class FullHandshakes implements Row {
  readonly #target: LoadTarget

  constructor(target: LoadTarget) {
    this.#target = target
  }

  async timeOf(call: Call): Promise<number> {
    const { work, port } = this.#target
    const started = performance.now()
    const caller = await Caller.open(work, port)
    try {
      if (caller.isResumed) throw new WrongAnswer('a session was resumed that was not to be')
      call.check(await caller.ask(call.text))
      return performance.now() - started
    } finally {
      await caller.close()
    }
  }
}

class ResumedSessions implements Row {
  readonly #target: LoadTarget
  #session: Buffer | undefined

  constructor(target: LoadTarget) {
    this.#target = target
  }

  async timeOf(call: Call): Promise<number> {
    const { work, port } = this.#target
    const started = performance.now()
    const caller = await Caller.open(work, port, { session: this.#session })
    try {
      // Only the first of its row has nothing to resume.
      if (this.#session !== undefined && !caller.isResumed)
        throw new WrongAnswer('a session was to be resumed and was not')
      call.check(await caller.ask(call.text))
      const { session } = caller
      if (session === undefined) throw new WrongAnswer('no session came that could be resumed')
      this.#session = session
      return performance.now() - started
    } finally {
      await caller.close()
    }
  }
}
