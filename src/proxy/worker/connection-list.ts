/** Which connections of a tenant a worker has, for an operator. */
import { type ConnectionFacts, factsOf, isRouted, tenantOf } from '../forward/routed-connection.ts'
import type { Drainable } from '../listener/arrival.ts'

/** Connections that are looked at in one turn: a tenth of a millisecond or two. */
const LOOKED_AT_ONCE = 2_000

export interface ConnectionList {
  readonly connections: readonly ConnectionFacts[]
  /** Whether there are more than were asked for. */
  readonly more: boolean
}

/** `limit` at most. Other things go on meanwhile: what ends then may be in it, what begins may not. */
export async function connectionsOf(
  open: Iterable<Drainable>,
  { tenant, limit, now }: { tenant: string; limit: number; now: () => number },
  pause: () => Promise<void>,
): Promise<ConnectionList> {
  const connections: ConnectionFacts[] = []
  let looked = 0
  for (const connection of open) {
    looked += 1
    if (looked % LOOKED_AT_ONCE === 0) await pause()
    if (!isRouted(connection) || tenantOf(connection) !== tenant) continue
    if (connections.length === limit) return { connections, more: true }
    connections.push(factsOf(connection, now()))
  }
  return { connections, more: false }
}
