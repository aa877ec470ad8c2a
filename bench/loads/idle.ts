/** Connections that are kept and do nothing: what each of them costs in memory. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Call, Caller } from '../harness/caller.ts'
import { openFileLimit } from '../harness/process-stat.ts'
import type { Load, LoadTarget } from './load.ts'

/** Connections that are opened at once. */
const AT_ONCE = 100
/** Files of this process beside the connections. */
const OTHER_FILES = 500
/** Until a runtime has put in order what opening them left behind. */
const SETTLE_MS = 3_000

/** So many connections, each after one call that needed a credential. They stay open until the figure is taken. */
export function idle(connections: number): Load {
  return async target => {
    if (openFileLimit() < connections + OTHER_FILES)
      throw new Error(`too few open files allowed (ulimit -n) for ${connections} connections`)
    const calls = target.work.tenants.map(tenant => new Call(target.work, tenant))
    const callers: Caller[] = []
    const started = performance.now()
    const openSome = async (first: number): Promise<void> => {
      for (let at = first; at < connections; at += AT_ONCE)
        callers.push(await openOne(target, calls[at % calls.length] as Call))
    }
    const release = (): void => {
      for (const caller of callers) void caller.close()
    }
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, async (_, first) => openSome(first)))
    } catch (error) {
      release()
      throw error
    }
    const seconds = (performance.now() - started) / 1_000
    await sleep(SETTLE_MS)
    return { units: connections, seconds, calls: connections, open: 0, bytes: 0, release }
  }
}

async function openOne({ work, port }: LoadTarget, call: Call): Promise<Caller> {
  const caller = await Caller.open(work, port)
  call.check(await caller.ask(call.text))
  return caller
}
