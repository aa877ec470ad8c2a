/**
 * What is known of how one endpoint is doing, from three sources: connections that failed (it rests for a second), calls
 * and connections that failed in a row (it is ejected, longer each time), and active checks (it is out until they pass).
 * The words `rise` and `fall` are HAProxy's; ejection works as Envoy's outlier detection.
 */
import type { DeploymentPolicy } from '../../config/deployment-schema.ts'

/** Nobody knocks twice a second at a door that was closed, where there is another. */
const CONNECT_REST_MS = 1_000
/** Share of an endpoint at the begin of its slow start. */
const FIRST_SHARE = 0.1

export interface HealthObserver {
  /** What `well` and `resting` say may be different from now on. */
  healthChanged(): void
  ejectedFor(ms: number): void
}

type HealthPolicy = Pick<DeploymentPolicy, 'ejection' | 'slowStart'>

export class EndpointHealth {
  /** May be another one from now on; what has been decided stays so. */
  policy: HealthPolicy
  readonly #observer: HealthObserver
  #checkFailed = false
  /** Checks in a row that contradict `#checkFailed`; undefined before the first. */
  #contradictions: number | undefined
  #connectFailures = 0
  #callFailures = 0
  #restsUntil = 0
  #ejectedUntil = 0
  #ejections = 0
  /** Begin of the last slow start; it may lie ahead, at the end of an ejection. */
  #warmFrom = Number.NEGATIVE_INFINITY

  constructor(policy: HealthPolicy, observer: HealthObserver) {
    this.policy = policy
    this.#observer = observer
  }

  /** By the last active checks; true where there were none. */
  get passesChecks(): boolean {
    return !this.#checkFailed
  }

  /** Neither ejected nor failing its checks. All times are monotonic, in ms. */
  well(now: number): boolean {
    return !this.#checkFailed && now >= this.#ejectedUntil
  }

  /** Whether a connection has failed a moment ago. */
  resting(now: number): boolean {
    return now < this.#restsUntil
  }

  /** When time alone changes what `well` and `resting` say; Infinity for never. */
  nextChange(now: number): number {
    const rest = now < this.#restsUntil ? this.#restsUntil : Number.POSITIVE_INFINITY
    return now < this.#ejectedUntil ? Math.min(rest, this.#ejectedUntil) : rest
  }

  /** Which part of its full share of calls it should get: 0.1 to 1. */
  weight(now: number): number {
    const age = (now - this.#warmFrom) / this.policy.slowStart
    // Not a number where there is no slow start and this is its very moment.
    if (!(age < 1)) return 1
    return FIRST_SHARE + (1 - FIRST_SHARE) * Math.max(0, age)
  }

  /** It gets its share step by step from now on. */
  warmUp(now: number): void {
    this.#warmFrom = now
  }

  connectionMade(): void {
    this.#connectFailures = 0
    if (this.#restsUntil === 0) return
    this.#restsUntil = 0
    this.#observer.healthChanged()
  }

  connectionFailed(now: number): void {
    this.#restsUntil = now + CONNECT_REST_MS
    this.#observer.healthChanged()
    this.#connectFailures++
    if (this.#connectFailures >= this.policy.ejection.failures) this.#eject(now)
  }

  /** It began an answer. Those that gateways give where what is behind them fails are no success. */
  answered(status: number, now: number): void {
    if (status >= 502 && status <= 504) this.callFailed(now)
    else this.#callFailures = 0
  }

  /** It was reached, and did not answer in time, broke off, or answered what nobody can read. */
  callFailed(now: number): void {
    this.#callFailures++
    if (this.#callFailures >= this.policy.ejection.failures) this.#eject(now)
  }

  /** Result of an active check. The first one counts at once; later ones need `rise` or `fall` in a row. */
  checked(passed: boolean, { rise, fall }: { rise: number; fall: number }, now: number): void {
    const first = this.#contradictions === undefined
    const contradicts = passed === this.#checkFailed
    this.#contradictions = contradicts ? (this.#contradictions ?? 0) + 1 : 0
    if (contradicts && (first || this.#contradictions >= (passed ? rise : fall))) {
      this.#contradictions = 0
      this.#checkFailed = !passed
      if (passed) this.warmUp(now)
      this.#observer.healthChanged()
    }
    if (passed && !this.#checkFailed) this.#readmit(now)
  }

  #eject(now: number): void {
    if (now < this.#ejectedUntil) return
    const { base, max } = this.policy.ejection
    // As in Envoy: the multiplier grows with each ejection, and shrinks again while there is none.
    const wellFor = now - this.#ejectedUntil
    this.#ejections = Math.max(0, this.#ejections - Math.floor(wellFor / Math.max(base, 1))) + 1
    const ms = Math.min(max, base * this.#ejections)
    this.#ejectedUntil = now + ms
    this.#connectFailures = 0
    this.#callFailures = 0
    this.warmUp(this.#ejectedUntil)
    this.#observer.healthChanged()
    this.#observer.ejectedFor(ms)
  }

  /** An active check has more weight than what calls have met. */
  #readmit(now: number): void {
    this.#connectFailures = 0
    this.#callFailures = 0
    if (now < this.#ejectedUntil) this.warmUp(now)
    else if (this.#restsUntil === 0) return
    this.#ejectedUntil = Math.min(this.#ejectedUntil, now)
    this.#restsUntil = 0
    this.#observer.healthChanged()
  }
}
