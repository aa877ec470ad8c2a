/** What a tenant needs while it has traffic, made with its first call: its pool, its limiter and its quotas. */
import { readFileSync } from 'node:fs'
import { createSecureContext, type ConnectionOptions as TlsOptions } from 'node:tls'
import type { DeploymentConfig } from '../../config/schema.ts'
import { TenantLimiter } from '../limits/tenant-limiter.ts'
import type { TenantQuotas } from '../limits/tenant-quotas.ts'
import { DeploymentPool } from '../pool/deployment-pool.ts'
import { HealthChecker } from '../pool/health-checker.ts'
import type { Tenant } from '../tenant/tenant.ts'
import type { WorkerContext } from './context.ts'

export interface TenantRuntime {
  readonly tenant: Tenant
  readonly pool: DeploymentPool
  readonly limiter: TenantLimiter
  /** Undefined for a tenant without. */
  readonly quotas: TenantQuotas | undefined
  readonly health: HealthChecker | undefined
}

export class TenantRuntimes {
  readonly #context: () => WorkerContext
  readonly #workers: number
  /** By tenant index. */
  readonly #runtimes: (TenantRuntime | undefined)[] = []

  /** `workers` share the limits of a tenant. */
  constructor(context: () => WorkerContext, workers: number) {
    this.#context = context
    this.#workers = workers
  }

  of(tenant: Tenant): TenantRuntime {
    const runtime = this.#runtimes[tenant.index]
    return runtime !== undefined && runtime.tenant === tenant
      ? runtime
      : this.#renew(tenant, runtime)
  }

  *all(): IterableIterator<TenantRuntime> {
    for (const runtime of this.#runtimes) if (runtime !== undefined) yield runtime
  }

  /** Lets go of tenants that are no longer what they were; calls under way keep what they have. */
  retainOnly(isCurrent: (tenant: Tenant) => boolean): void {
    for (const [index, runtime] of this.#runtimes.entries()) {
      if (runtime === undefined || isCurrent(runtime.tenant)) continue
      this.#end(runtime)
      this.#runtimes[index] = undefined
    }
  }

  close(): void {
    this.retainOnly(() => false)
  }

  #renew(tenant: Tenant, former: TenantRuntime | undefined): TenantRuntime {
    if (former !== undefined) this.#end(former)
    const context = this.#context()
    const { deployment, limits } = tenant.config
    const tls = deployment.endpoints.some(url => /^(https|tls):/.test(url))
      ? upstreamTls(deployment)
      : undefined
    const workers = this.#workers
    const pool = new DeploymentPool(context, { tenant: tenant.id, deployment, tls, workers })
    const runtime = {
      tenant,
      pool,
      limiter: new TenantLimiter(limits, context.limits, workers),
      quotas: context.quotas.quotasOf(tenant),
      health: healthChecker(context, tenant, pool),
    }
    this.#runtimes[tenant.index] = runtime
    return runtime
  }

  #end(runtime: TenantRuntime): void {
    runtime.health?.close()
    runtime.pool.close()
  }
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
