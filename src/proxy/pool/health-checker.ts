/** Asks the endpoints of one deployment how they are, while the tenant has traffic here. */
import type { DeploymentConfig } from '../../config/schema.ts'
import { Timer, type TimerOwner } from '../../core/timer-wheel.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { Endpoint } from './endpoint.ts'
import { acceptsConnection, answersHttp, servesGrpc } from './health-probe.ts'

type HealthConfig = NonNullable<DeploymentConfig['health']>

/** The first round comes within this time, so that tenants that begin together do not check together. */
const FIRST_ROUND_MS = 1_000
/** Rounds are so much shorter or longer than the interval: workers that began together come apart. */
const JITTER = 0.1
/** Of one tenant, however many endpoints it has: each takes a connection, and where it hangs for all of `timeout`. */
const CHECKS_AT_ONCE = 16

export interface HealthCheckerOptions {
  readonly tenant: string
  readonly health: HealthConfig
  /** Those of the moment. */
  readonly endpoints: () => readonly Endpoint[]
}

export class HealthChecker implements TimerOwner {
  readonly #context: WorkerContext
  readonly #options: HealthCheckerOptions
  readonly #timer = new Timer(this)
  #closed = false

  constructor(context: WorkerContext, options: HealthCheckerOptions) {
    this.#context = context
    this.#options = options
    const first = Math.min(FIRST_ROUND_MS, options.health.interval)
    this.#wait(first * context.random())
  }

  timerExpired(): void {
    void this.#round()
  }

  /** The next one is due an interval after this one began, or at once where this one took longer. */
  async #round(): Promise<void> {
    const { clock, random } = this.#context
    const began = clock.monotonic()
    const due = this.#options.endpoints().values()
    await Promise.all(Array.from({ length: CHECKS_AT_ONCE }, () => this.#checkAll(due)))
    if (this.#closed) return
    clock.refresh()
    const interval = this.#options.health.interval * (1 - JITTER + 2 * JITTER * random())
    this.#wait(Math.max(0, began + interval - clock.monotonic()))
  }

  /** One after the other, of what others have not taken yet. */
  async #checkAll(due: Iterable<Endpoint>): Promise<void> {
    for (const endpoint of due) {
      if (this.#closed) return
      if (!endpoint.retired) await this.#check(endpoint)
    }
  }

  async #check(endpoint: Endpoint): Promise<void> {
    const { health, tenant } = this.#options
    const passed = await probe(endpoint, health)
    if (this.#closed) return
    const { clock, tenantLog } = this.#context
    clock.refresh()
    const before = endpoint.health.passesChecks
    endpoint.health.checked(passed, health, clock.monotonic())
    const healthy = endpoint.health.passesChecks
    if (before === healthy) return
    const { authority, host } = endpoint
    const fields = { endpoint: authority, address: host, healthy }
    tenantLog.warn(tenant, fields, 'health of an endpoint changed')
  }

  #wait(ms: number): void {
    const { wheel, clock } = this.#context
    wheel.arm(this.#timer, ms, clock.monotonic())
  }

  close(): void {
    this.#closed = true
    this.#context.wheel.cancel(this.#timer)
  }
}

function probe(endpoint: Endpoint, { grpc, path, timeout }: HealthConfig): Promise<boolean> {
  if (grpc !== undefined) return servesGrpc(endpoint, grpc, timeout)
  return path === undefined
    ? acceptsConnection(endpoint, timeout)
    : answersHttp(endpoint, path, timeout)
}
