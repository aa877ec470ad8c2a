/** What all parts of a run share: the calls that were planned, and what went wrong. */
import type { CallPlan } from './call-plan.ts'

/** The first of them say what is wrong; thousands more say nothing else. */
const MAX_VIOLATIONS = 20

export class Run {
  readonly seed: number
  /** Exchanges to make: calls, refused ones too, and tunnels. */
  readonly total: number
  begun = 0
  #ended = 0
  /** By nonce; whole calls are taken out, the others stay to be counted in the end. */
  readonly plans = new Map<string, CallPlan>()
  /** How many of each kind there were. */
  readonly kinds = new Map<string, number>()
  readonly violations: string[] = []
  /** Calls that had to end as planned and did not: see `suspect`. */
  suspected = 0
  /** Those of them that only a word of their deployment about them can explain. */
  readonly #suspects: CallPlan[] = []
  /** What is under way now: each says where it stands. */
  readonly underWay = new Set<() => string>()
  #nonces = 0
  readonly #waiting: { ended: number; resolve: () => void }[] = []

  constructor(seed: number, total: number) {
    this.seed = seed
    this.total = total
  }

  get over(): boolean {
    return this.begun >= this.total || this.violations.length > 0
  }

  get ended(): number {
    return this.#ended
  }

  end(exchanges: number): void {
    this.#ended += exchanges
    this.#wake()
  }

  /** Resolves when so many have ended, or nothing more begins. */
  async reached(ended: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push({ ended, resolve })
    this.#wake()
    await promise
  }

  #wake(): void {
    for (const { ended, resolve } of this.#waiting) if (this.over || this.#ended >= ended) resolve()
  }

  violation(text: string): void {
    if (this.violations.length < MAX_VIOLATIONS) this.violations.push(text)
    this.#wake()
  }

  /**
   * `plan` had to end as planned and did not. Its deployment has turned it away, or has taken leave of the proxy while the call
   * was on its way there, and then need not have seen it.
   */
  suspect(plan: CallPlan): void {
    this.suspected++
    if (plan.tenant.farewells === plan.farewellsOver) this.#suspects.push(plan)
  }

  /** Of the suspects, those that nobody has turned away. Asked when all is over. */
  get unexplained(): CallPlan[] {
    return this.#suspects.filter(plan => !plan.turnedAway)
  }

  /** Registers a call, so that its deployment knows what to do with it. */
  begin(plan: CallPlan, kind: string): CallPlan {
    this.begun++
    this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1)
    this.plans.set(plan.nonce, plan)
    return plan
  }

  /** What no other call has. */
  nonce(): string {
    return (this.#nonces++).toString(36).padStart(5, '0')
  }
}
