/** What a tenant needs while it has traffic, made with its first call: its pool, its limiter and its quotas. */
import { sameConfig } from '../../core/same-config.ts'
import { type LimitShare, limitShareOf } from '../limits/limit-share.ts'
import { TenantLimiter } from '../limits/tenant-limiter.ts'
import type { TenantQuotas } from '../limits/tenant-quotas.ts'
import type { TenantShare } from '../overload/tenant-share.ts'
import { DeploymentPool, type PoolSettings } from '../pool/deployment-pool.ts'
import { HealthChecker } from '../pool/health-checker.ts'
import type { Tenant } from '../tenant/tenant.ts'
import type { WorkerContext } from './context.ts'
import { changedTls, sameTls, type UpstreamTls, upstreamTls } from './upstream-tls.ts'

/** Runtimes that are looked at in a second at least, and the rounds in which all are: see `sweep`. */
const LEAST_SWEPT = 64
const SWEEPS_A_ROUND = 60
/** A round takes no less, however few there are: who comes back soon finds its endpoints as they were. */
const ROUND_MS = 60_000
/** Of these, deployments whose TLS files are looked at: some 10 µs each. */
const MOST_LOOKED_AT = 64

export interface TenantRuntime {
  /** As it is configured now: a change of the tenant is a change of what is different, see `succeed`. */
  tenant: Tenant
  readonly pool: DeploymentPool
  readonly limiter: TenantLimiter
  /** Undefined for a tenant without. */
  quotas: TenantQuotas | undefined
  health: HealthChecker | undefined
  /** For endpoints with TLS. */
  tls: UpstreamTls | undefined
  /** Part of a busy worker, against the weights of other tenants. */
  weight: number
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
  /** In ms of the monotonic clock. */
  #nextRoundAt = 0

  /** `workers` share the limits of a tenant. */
  constructor(context: () => WorkerContext, workers: number) {
    this.#context = context
    this.#workers = workers
  }

  of(tenant: Tenant): TenantRuntime {
    const runtime = this.#runtimes[tenant.index]
    if (runtime === undefined) return this.#begin(tenant)
    // A verdict of a moment ago may name the tenant as it was then.
    if (runtime.tenant !== tenant && tenant.current) this.#adopt(runtime, tenant)
    runtime.used = true
    return runtime
  }

  /**
   * `former` is configured as `next` from now on. Only what is different about it changes: connections to its deployment,
   * what was taken from its limits, and what is known of its endpoints stay as they are.
   */
  succeed(former: Tenant, next: Tenant): void {
    const runtime = this.#runtimes[former.index]
    if (runtime !== undefined && runtime.tenant !== next) this.#adopt(runtime, next)
  }

  /** The limits of the service are others: those of all tenants that have none of their own. */
  relimit(now: number): void {
    for (const runtime of this.#all) this.#limit(runtime, now)
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
    let looked = 0
    for (let swept = 0; swept < most; swept += 1) {
      if (this.#round === undefined) {
        if (now < this.#nextRoundAt) return
        this.#nextRoundAt = now + ROUND_MS
        this.#round = this.#all.values()
      }
      const { value: runtime, done } = this.#round.next()
      if (done === true) {
        this.#round = undefined
        return
      }
      if (!runtime.used && runtime.limiter.idle(now) && runtime.pool.idle(now)) this.#end(runtime)
      else if (runtime.tls !== undefined && looked < MOST_LOOKED_AT) {
        looked += 1
        this.#followFiles(runtime, runtime.tls)
      }
      runtime.used = false
    }
  }

  #adopt(runtime: TenantRuntime, next: Tenant): void {
    const context = this.#context()
    const { config: before } = runtime.tenant
    runtime.tenant.release()
    runtime.tenant = next
    const { config } = next
    const { deployment } = config
    if (!sameConfig(before.limits, config.limits)) this.#limit(runtime, context.clock.monotonic())
    if (!sameConfig(before.deployment, deployment)) {
      const { pool } = runtime
      if (!sameTls(before.deployment, deployment)) runtime.tls = upstreamTls(deployment)
      pool.change(this.#poolSettings(next, runtime.tls))
      if (!sameConfig(before.deployment.health, deployment.health)) {
        runtime.health?.close()
        runtime.health = healthChecker(context, next, pool)
      }
    }
    runtime.quotas = context.quotas.quotasOf(next)
    runtime.weight = weightOf(next)
    context.overload.reweigh(runtime)
  }

  /** A certificate that was renewed is shown from the next connection on, and those with the former one are kept no longer. */
  #followFiles(runtime: TenantRuntime, former: UpstreamTls): void {
    const { tenant, pool } = runtime
    const tls = changedTls(tenant.config.deployment, former)
    if (tls === undefined) return
    runtime.tls = tls
    pool.change(this.#poolSettings(tenant, tls))
    this.#context().logger.info({ tenant: tenant.id }, 'changed TLS files of a deployment are used')
  }

  #limit({ tenant, limiter, pool, tls }: TenantRuntime, now: number): void {
    limiter.change(this.#limitsOf(tenant), now)
    pool.change(this.#poolSettings(tenant, tls))
  }

  #limitsOf({ config }: Tenant): LimitShare {
    return limitShareOf(config.limits, this.#context().limits, this.#workers)
  }

  #poolSettings(tenant: Tenant, tls: UpstreamTls | undefined): PoolSettings {
    const { deployment } = tenant.config
    const limits = this.#limitsOf(tenant).pool
    return { deployment, tls: tls?.options, workers: this.#workers, limits }
  }

  #begin(tenant: Tenant): TenantRuntime {
    const context = this.#context()
    const tls = upstreamTls(tenant.config.deployment)
    const moved = (): void => {
      if (this.#all.has(runtime)) this.moved.add(runtime)
    }
    const pool = new DeploymentPool(context, {
      ...this.#poolSettings(tenant, tls),
      tenant: tenant.id,
      moved,
    })
    const runtime: TenantRuntime = {
      tenant,
      pool,
      limiter: new TenantLimiter(this.#limitsOf(tenant)),
      quotas: context.quotas.quotasOf(tenant),
      health: healthChecker(context, tenant, pool),
      tls,
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
