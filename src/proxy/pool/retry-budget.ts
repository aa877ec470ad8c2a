/**
 * How many calls may be tried again at a time, so that a deployment in trouble does not get a multiple of its calls
 * (Envoy's `retry_budget`).
 */
export interface RetryBudgetOptions {
  /** As a part of the calls under way: 0 to 1. */
  readonly budget: number
  /** So many in any case. */
  readonly minimum: number
}

export class RetryBudget<T> {
  /** May be other ones from now on; retries under way stay. */
  options: RetryBudgetOptions
  /** What the retries that are under way hold on to. Made for the first: the end of each call asks for it. */
  #holders: Set<T> | undefined

  constructor(options: RetryBudgetOptions) {
    this.options = options
  }

  /** Whether there may be one more while so many calls are under way. */
  admits(callsUnderWay: number): boolean {
    const { budget, minimum } = this.options
    return (this.#holders?.size ?? 0) < Math.max(minimum, budget * callsUnderWay)
  }

  begin(holder: T): void {
    this.#holders ??= new Set()
    this.#holders.add(holder)
  }

  /** Of anything that may be a retry. */
  end(holder: T): void {
    this.#holders?.delete(holder)
  }
}
