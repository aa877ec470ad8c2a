/** Asks the endpoints of one deployment how they are, while the tenant has traffic here. */

import type { ConnectionOptions as TlsOptions } from 'node:tls'
import { Agent, type buildConnector, request } from 'undici'
import type { DeploymentConfig } from '../../config/schema.ts'
import type { Tenant } from '../tenant/tenant.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { DeploymentPool } from './deployment-pool.ts'
import type { Endpoint } from './endpoint.ts'

type HealthConfig = NonNullable<DeploymentConfig['health']>

export class HealthChecker {
  readonly #context: WorkerContext
  readonly #tenant: Tenant
  readonly #pool: DeploymentPool
  readonly #health: HealthConfig
  readonly #agent: Agent
  readonly #timer: NodeJS.Timeout
  #underWay = false

  constructor(
    context: WorkerContext,
    tenant: Tenant,
    pool: DeploymentPool,
    tls: TlsOptions | undefined,
  ) {
    this.#context = context
    this.#tenant = tenant
    this.#pool = pool
    this.#health = tenant.config.deployment.health as HealthConfig
    const { timeout, interval } = this.#health
    this.#agent = new Agent({
      connections: 1,
      headersTimeout: timeout,
      bodyTimeout: timeout,
      connect: { timeout, ...(tls as buildConnector.BuildOptions | undefined) },
    })
    this.#timer = setInterval(() => void this.checkAll(), interval)
    this.#timer.unref()
  }

  /** Checks every endpoint once; never rejects. A round that takes longer than the interval is not overtaken. */
  async checkAll(): Promise<void> {
    if (this.#underWay) return
    this.#underWay = true
    await Promise.all(this.#pool.endpoints.map(endpoint => this.#check(endpoint)))
    this.#underWay = false
  }

  async #check(endpoint: Endpoint): Promise<void> {
    const before = endpoint.healthy
    endpoint.checked(await this.#ask(endpoint))
    if (before !== endpoint.healthy) {
      this.#context.logger.warn(
        { tenant: this.#tenant.id, endpoint: endpoint.authority, healthy: endpoint.healthy },
        'health of an endpoint changed',
      )
    }
  }

  async #ask(endpoint: Endpoint): Promise<boolean> {
    try {
      const { statusCode, body } = await request(
        `${endpoint.tls ? 'https' : 'http'}://${endpoint.authority}${this.#health.path}`,
        {
          dispatcher: this.#agent,
          signal: AbortSignal.timeout(this.#health.timeout),
        },
      )
      await body.dump({ limit: 64 * 1024 })
      return statusCode >= 200 && statusCode < 400
    } catch {
      return false
    }
  }

  close(): void {
    clearInterval(this.#timer)
    void this.#agent.destroy().catch(() => {})
  }
}
