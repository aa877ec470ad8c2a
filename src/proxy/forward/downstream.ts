/** A connection from downstream as the forwarders see it: where it came in, from whom, and what it has proved so far. */
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ConnectionEnds } from '../../codec/proxy-header-writer.ts'
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import type { Routability } from '../../core/routability.ts'
import type { AccessLog, ConnectionProtocol } from '../access-log/access-log.ts'
import type { CallEvidence } from '../credential/call-evidence.ts'
import type { Refusal } from '../limits/refusal.ts'
import type { Source } from '../limits/sources.ts'
import type { TenantLimiter } from '../limits/tenant-limiter.ts'
import type { UsageRow } from '../metering/usage-meter.ts'
import { normalizeAddress } from '../tenant/ip-address.ts'
import type { Tenant } from '../tenant/tenant.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { TenantRuntime } from '../worker/tenant-runtimes.ts'

export interface ListenerScope {
  /** Index in the configuration, as counters know it. */
  readonly index: number
  readonly name: string
  readonly mode: 'shared' | 'private'
  /** It is not configured any more: its connections end as soon as they may. */
  leaving?: boolean
}

export interface Downstream {
  readonly socket: Duplex
  /** Its id in the access log, or '' without one. */
  readonly connection: string
  /** When it was accepted, by the monotonic clock. */
  readonly acceptedAt: number
  readonly listener: ListenerScope
  readonly peerAddress: string
  /** When it was made, monotonic, in ms. */
  readonly openedAt: number
  /** Whose limits it counts for; undefined where it speaks for many. */
  readonly source?: Source | undefined
  /** Both ends of the client's connection, where a PROXY header named them; else they are those of `socket`. */
  readonly ends: ConnectionEnds | undefined
  /** Whether the client came over TLS, be it that it ended here or at a balancer that says so. */
  readonly secure: boolean
  /** Whether the peer's `x-forwarded-*` may be believed. */
  readonly trusted: boolean
  /** `x-forwarded-client-cert`, or ''. */
  readonly clientCertificate: string
  readonly evidence: CallEvidence
}

/** Whether connections end as soon as they may: with their worker, with their listener, or while their tenant is drained. */
export function isDraining({
  context,
  downstream,
  account,
}: {
  readonly context: WorkerContext
  readonly downstream: Downstream
  readonly account: ConnectionAccount
}): boolean {
  return (
    context.draining ||
    downstream.listener.leaving === true ||
    account.runtime?.tenant.draining === true
  )
}

/** Both ends of the client's connection, as its deployment gets to know them; undefined where it is closed already. */
export function endsOf({ socket, ends }: Downstream): ConnectionEnds | undefined {
  if (ends !== undefined || !(socket instanceof Socket)) return ends
  const { remoteAddress = '', remotePort, localAddress = '', localPort } = socket
  const from = normalizeAddress(remoteAddress)
  const to = normalizeAddress(localAddress)
  if (from === undefined || to === undefined) return undefined
  return {
    source: { address: from, port: remotePort ?? 0 },
    destination: { address: to, port: localPort ?? 0 },
  }
}

/** What a connection has carried when it ends. */
export interface Carried {
  readonly protocol: ConnectionProtocol
  readonly traffic: { readonly receivedBytes: number; readonly sentBytes: number }
  readonly calls: number
  /** Of a tunnel. */
  readonly upstream?: string | undefined
}

/**
 * Which tenant a connection is counted for: the first that it carried traffic of. Opens and closes that tenant's
 * connection count and time, and writes the connection's line in the access log.
 */
export class ConnectionAccount {
  readonly #context: WorkerContext
  readonly #downstream: Downstream
  readonly #operation: number
  /** For the access log: also where it was refused. */
  #tenantId = ''
  #routability: Routability = 'unroutable'
  #code: ErrorCode | '' = ''
  #runtime: TenantRuntime | undefined
  #row: UsageRow | undefined
  /** Of what its tenant keeps for slow peers. */
  #held = 0
  /** Calls under way on it, of tenants for which they are limited; made with the first. */
  #streams: Map<TenantLimiter, number> | undefined

  /** `operation` of the usage meter: `connection` or `tunnel`. */
  constructor(context: WorkerContext, downstream: Downstream, operation: number) {
    this.#context = context
    this.#downstream = downstream
    this.#operation = operation
  }

  /** The row that the connection is counted in, once it is somebody's. */
  get row(): UsageRow | undefined {
    return this.#row
  }

  /** Of the tenant that it is counted for. */
  get runtime(): TenantRuntime | undefined {
    return this.#runtime
  }

  /** Counts the connection for `tenant` if it is nobody's yet, unless a limit of that tenant refuses it. */
  open(tenant: Tenant, routability: Routability): Refusal | undefined {
    if (this.#row !== undefined) return undefined
    this.#tenantId = tenant.id
    this.#routability = routability
    const runtime = this.#context.runtimes.of(tenant)
    const refusal = runtime.limiter.openConnection(this.#context.clock.monotonic())
    if (refusal !== undefined) return refusal
    this.#runtime = runtime
    this.#row = this.#context.meter.row(tenant, this.#downstream.listener.index, routability, {
      operation: this.#operation,
      codeClass: 0,
    })
    this.#context.meter.open(this.#row)
    return undefined
  }

  /** So many bytes wait on the connection for slow peers; they are its tenant's, once it is somebody's. */
  holds(bytes: number): void {
    if (this.#runtime === undefined) return
    this.#runtime.limiter.buffered += bytes - this.#held
    this.#held = bytes
  }

  /** A call of a tenant begins; false where it has as many on this connection as it may. `endStream` follows each true. */
  beginStream(limiter: TenantLimiter): boolean {
    this.#streams ??= new Map()
    const running = this.#streams.get(limiter) ?? 0
    if (running >= limiter.maxStreams) return false
    this.#streams.set(limiter, running + 1)
    return true
  }

  endStream(limiter: TenantLimiter): void {
    const running = this.#streams?.get(limiter) ?? 0
    if (running > 1) this.#streams?.set(limiter, running - 1)
    else this.#streams?.delete(limiter)
  }

  /** What is wrong with it, beside its calls; the first counts. */
  blame(code: ErrorCode): void {
    if (this.#code === '') this.#code = code
  }

  /** Once, at its end. */
  close(carried: Carried): void {
    const { accessLog } = this.#context
    if (accessLog?.wantsConnection(this.#code) === true) this.#log(accessLog, carried)
    if (this.#row === undefined) return
    this.#context.meter.close(this.#row)
    this.#context.turnWrites.commitInTurn()
    this.holds(0)
    this.#runtime?.limiter.closeConnection()
    this.#row = undefined
    this.#runtime = undefined
  }

  #log(accessLog: AccessLog, { protocol, traffic, calls, upstream = '' }: Carried): void {
    const { listener, peerAddress, evidence, connection, acceptedAt } = this.#downstream
    accessLog.connection({
      code: this.#code,
      flag: this.#code === '' ? '-' : ERRORS[this.#code].flag,
      reason: '',
      protocol,
      connection,
      tenant: this.#tenantId,
      listener: listener.name,
      routability: this.#routability,
      peer: peerAddress,
      credential: accessLog.credentials.ofConnection(evidence),
      ingress: traffic.receivedBytes,
      egress: traffic.sentBytes,
      durationMs: this.#context.clock.monotonic() - acceptedAt,
      calls,
      upstream,
    })
  }
}
