/** Connections of which more is known than that they are there: they carry calls, or are tunnels. */
import type { ErrorCode } from '../../core/errors.ts'
import type { Drainable } from '../listener/arrival.ts'
import type { ConnectionAccount, Downstream } from './downstream.ts'

export interface RoutedConnection extends Drainable {
  readonly protocol: 'http/1.1' | 'h2' | 'tunnel'
  readonly downstream: Downstream
  readonly account: Pick<ConnectionAccount, 'runtime'>
  /** Under way. */
  readonly calls: readonly RunningCall[]
}

interface RunningCall {
  /** Ends it, where it is of `tenant`: with an answer where none has begun, else so that its client notices. */
  fail(code: ErrorCode, tenant: string): void
}

export function isRouted(connection: Drainable): connection is RoutedConnection {
  return 'protocol' in connection
}

/** For whom it is counted; '' while it is nobody's. */
export function tenantOf({ account }: RoutedConnection): string {
  return account.runtime?.tenant.id ?? ''
}

/** What an operator is shown of a connection. */
export interface ConnectionFacts {
  readonly listener: string
  /** Where it comes from; with a PROXY header what that says. */
  readonly peer: string
  readonly protocol: RoutedConnection['protocol']
  readonly tls: boolean
  readonly ageMs: number
  /** Under way. */
  readonly calls: number
}

/** At `now`, monotonic. */
export function factsOf(connection: RoutedConnection, now: number): ConnectionFacts {
  const { protocol, calls, downstream } = connection
  const { listener, peerAddress, secure, openedAt } = downstream
  const ageMs = Math.max(0, Math.round(now - openedAt))
  return {
    listener: listener.name,
    peer: peerAddress,
    protocol,
    tls: secure,
    ageMs,
    calls: calls.length,
  }
}
