/** What a tenant needs while it has traffic, made with its first call: its pool, its limiter and its quotas. */
import { readFileSync } from 'node:fs'
import { createSecureContext, type ConnectionOptions as TlsOptions } from 'node:tls'
import type { DeploymentConfig } from '../../config/schema.ts'
import { limitsOver, TenantLimiter } from '../limits/tenant-limiter.ts'
import type { TenantQuotas } from '../limits/tenant-quotas.ts'
import type { TenantShare } from '../overload/tenant-share.ts'
import { DeploymentPool } from '../pool/deployment-pool.ts'
import { HealthChecker } from '../pool/health-checker.ts'
import type { Tenant } from '../tenant/tenant.ts'
import type { WorkerContext } from './context.ts'

/** Runtimes that are looked at in a second at least, and the rounds in which all are: see `sweep`. */
const LEAST_SWEPT = 64
const SWEEPS_A_ROUND = 60

export interface TenantRuntime {
  readonly tenant: Tenant
  readonly pool: DeploymentPool
  readonly limiter: TenantLimiter
  /** Undefined for a tenant without. */
  readonly quotas: TenantQuotas | undefined
  readonly health: HealthChecker | undefined
  /** Part of a busy worker, against the weights of other tenants. */
  readonly weight: number
  /** Of a worker that is or was busy. */
  share: TenantShare | undefined
  /** Whether it was asked for since it was last looked at. */
  used: boolean
  /** What the primary was last told of its endpoints; -1 for nothing. */
  toldHealthy: number
  toldEjected: number
}

export class TenantRuntimes {
  /** Those whose endpoints may be in another state than the primary was told; whoever tells it takes them out. */
  readonly moved = new Set<TenantRuntime>()
  readonly #context: () => WorkerContext
  #workers: number
  /** By tenant index. */
  readonly #runtimes: (TenantRuntime | undefined)[] = []
  readonly #all = new Set<TenantRuntime>()
  #round: Iterator<TenantRuntime> | undefined

  /** `workers` share the limits of a tenant. */
  constructor(context: () => WorkerContext, workers: number) {
    this.#context = context
    this.#workers = workers
  }

  of(tenant: Tenant): TenantRuntime {
    const runtime = this.#runtimes[tenant.index]
    if (runtime === undefined || runtime.tenant !== tenant) return this.#renew(tenant, runtime)
    runtime.used = true
    return runtime
  }

  /** So many workers share the limits of all tenants from now on. */
  share(workers: number, now: number): void {
    this.#workers = workers
    for (const { limiter, pool } of this.#all) {
      limiter.share(workers, now)
      pool.share(workers)
    }
  }

  /** Tenants with a runtime. */
  get size(): number {
    return this.#all.size
  }

  /** All tenants with a runtime. */
  get all(): Iterable<TenantRuntime> {
    return this.#all
  }

  /** Bytes that wait for slow peers, of all tenants. */
  get buffered(): number {
    return [...this.#all].reduce((sum, { limiter }) => sum + limiter.buffered, 0)
  }

  /** Whether there is one for this tenant now. */
  has(runtime: TenantRuntime): boolean {
    return this.#all.has(runtime)
  }

  /** A tenant has one at most, whatever its configuration. */
  hasOneOf(tenant: Tenant): boolean {
    return this.#runtimes[tenant.index] !== undefined
  }

  /** Lets go of a tenant that is no longer what it was; calls under way keep what they have. */
  end(tenant: Tenant): void {
    const runtime = this.#runtimes[tenant.index]
    if (runtime !== undefined && runtime.tenant === tenant) this.#end(runtime)
  }

  endAll(): void {
    for (const runtime of this.#all) this.#end(runtime)
  }

  /**
   * Lets go of tenants that have no traffic, a part of them each time: called once a second it comes to each once a
   * minute. Whoever has had none since the last time, and has nothing left that a new runtime would not have, goes.
   */
  sweep(now: number): void {
    const most = Math.max(LEAST_SWEPT, Math.ceil(this.#all.size / SWEEPS_A_ROUND))
    for (let swept = 0; swept < most; swept += 1) {
      this.#round ??= this.#all.values()
      const { value: runtime, done } = this.#round.next()
      if (done === true) {
        this.#round = undefined
        return
      }
      if (!runtime.used && runtime.limiter.idle(now) && runtime.pool.idle(now)) this.#end(runtime)
      runtime.used = false
    }
  }

  #renew(tenant: Tenant, former: TenantRuntime | undefined): TenantRuntime {
    if (former !== undefined) this.#end(former)
    tenant.hold()
    const context = this.#context()
    const { deployment, limits } = tenant.config
    const tls = deployment.endpoints.some(url => /^(https|h2|tls):/.test(url))
      ? upstreamTls(deployment)
      : undefined
    const workers = this.#workers
    const { upstreamConnections, pending } = limitsOver(limits, context.limits)
    const moved = (): void => {
      if (this.#all.has(runtime)) this.moved.add(runtime)
    }
    const pool = new DeploymentPool(context, {
      tenant: tenant.id,
      deployment,
      tls,
      workers,
      limits: { upstreamConnections, pending },
      moved,
    })
    const runtime: TenantRuntime = {
      tenant,
      pool,
      limiter: new TenantLimiter(limits, context.limits, workers),
      quotas: context.quotas.quotasOf(tenant),
      health: healthChecker(context, tenant, pool),
      weight: weightOf(tenant),
      share: undefined,
      used: true,
      toldHealthy: -1,
      toldEjected: -1,
    }
    // Without holes: V8 keeps an array with many of them as a hash table.
    while (this.#runtimes.length <= tenant.index) this.#runtimes.push(undefined)
    this.#runtimes[tenant.index] = runtime
    this.#all.add(runtime)
    this.moved.add(runtime)
    return runtime
  }

  #end(runtime: TenantRuntime): void {
    const { tenant, health, pool } = runtime
    this.#all.delete(runtime)
    this.moved.add(runtime)
    if (this.#runtimes[tenant.index] === runtime) this.#runtimes[tenant.index] = undefined
    health?.close()
    pool.close()
    tenant.release()
    this.#context().meter.forget(tenant)
  }
}

const DEFAULT_WEIGHT = 1

function weightOf({ config }: Tenant): number {
  const { weight = DEFAULT_WEIGHT } = config
  return weight
}

function healthChecker(
  context: WorkerContext,
  { id, config }: Tenant,
  pool: DeploymentPool,
): HealthChecker | undefined {
  const { health } = config.deployment
  if (health === undefined) return undefined
  return new HealthChecker(context, { tenant: id, health, endpoints: () => pool.endpoints })
}

/** Files were checked when the configuration was loaded; one that has gone since fails the handshake, not the worker. */
function upstreamTls(deployment: DeploymentConfig): TlsOptions {
  const { ca, cert, key, serverName } = deployment.tls ?? {}
  const name = serverName === undefined ? {} : { servername: serverName }
  try {
    const secureContext = createSecureContext({
      minVersion: 'TLSv1.2',
      ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
      ...(cert === undefined ? {} : { cert: readFileSync(cert) }),
      ...(key === undefined ? {} : { key: readFileSync(key) }),
    })
    return { secureContext, rejectUnauthorized: true, ...name }
  } catch {
    // Trusts nobody: every handshake ends as `upstream_tls`.
    return { secureContext: createSecureContext({ ca: [] }), rejectUnauthorized: true, ...name }
  }
}
