/** One address of a deployment, and how it has been doing. */
import type { UpstreamConnection } from './upstream-connection.ts'

const EJECTION_BASE_MS = 1_000
const EJECTION_MAX_MS = 30_000

export class Endpoint {
  readonly host: string
  readonly port: number
  readonly tls: boolean
  /** `host:port`, as written. */
  readonly authority: string
  /** Idle connections; the last one used is the first one taken, so that the rest can grow old and go. */
  readonly idle: UpstreamConnection[] = []
  #failures = 0
  #ejectedUntil = 0
  #checkFailed = false

  /** `url` as in the configuration: `scheme://host:port`. */
  constructor(url: string) {
    const scheme = url.slice(0, url.indexOf(':'))
    this.authority = url.slice(scheme.length + 3)
    const colon = this.authority.lastIndexOf(':')
    this.host = this.authority.slice(0, colon).replace(/^\[|\]$/g, '')
    this.port = Number(this.authority.slice(colon + 1))
    this.tls = scheme === 'https' || scheme === 'tls'
  }

  /** By the last active check; true where there was none. */
  get healthy(): boolean {
    return !this.#checkFailed
  }

  /** Whether new connections should go elsewhere if there is an elsewhere. */
  ejected(now: number): boolean {
    return this.#checkFailed || now < this.#ejectedUntil
  }

  connectionFailed(now: number): void {
    this.#ejectedUntil = now + Math.min(EJECTION_MAX_MS, EJECTION_BASE_MS * 2 ** this.#failures)
    this.#failures = Math.min(this.#failures + 1, 10)
  }

  connectionMade(): void {
    this.#failures = 0
    this.#ejectedUntil = 0
  }

  /** Result of an active health check. */
  checked(healthy: boolean): void {
    this.#checkFailed = !healthy
    if (healthy) this.connectionMade()
  }
}
