/**
 * How long the fuzzers search, and where they begin. `FUZZ_SECONDS` is the time for all of them together, side by side on
 * two cores; `FUZZ_SEED` repeats a run, as far as the event loop repeats itself.
 */

/** In `npm test`; `npm run test:fuzz` sets ten minutes. */
const DEFAULT_SECONDS = 20
const PROGRESS_MS = 15_000

const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? DEFAULT_SECONDS)
export const SEED = Number(process.env['FUZZ_SEED'] ?? Date.now() % 0x7fffffff)

/** What each file may take of `FUZZ_SECONDS`; two of them run at a time, so all shares together are 2. */
const SHARES = {
  codec: 0.15,
  differential: 0.15,
  mutation: 0.2,
  'proxy-headers': 0.05,
  'proxy-requests': 0.4,
  'proxy-answers': 0.35,
  'http2-frames': 0.2,
  'http2-differential': 0.25,
  'http2-proxy': 0.25,
} as const

export function budgetMs(fuzzer: keyof typeof SHARES): number {
  return SECONDS * 1_000 * SHARES[fuzzer]
}

/** For tap: far more than the budget, as a neighbour may take the cores. */
export function timeoutMs(fuzzer: keyof typeof SHARES): number {
  return budgetMs(fuzzer) * 2 + 60_000
}

/** Counts the cases of one fuzzer until its time is over, and says now and then how it goes. */
export class Search {
  readonly #say: (line: string) => void
  readonly #name: string
  readonly #start = performance.now()
  readonly #end: number
  #nextLine = this.#start + PROGRESS_MS
  #over = false
  cases = 0

  /** `ms` to search; `say` prints a line. */
  constructor(name: string, ms: number, say: (line: string) => void) {
    this.#name = name
    this.#say = say
    this.#end = this.#start + ms
  }

  /** Whether there is time for another case, which is counted. `state` is what to tell besides. */
  next(state: () => string): boolean {
    const now = performance.now()
    if (now >= this.#nextLine) {
      this.#nextLine = now + PROGRESS_MS
      this.#tell(state())
    }
    if (now >= this.#end) {
      // Several may search side by side, and each asks.
      if (!this.#over) this.#tell(state())
      this.#over = true
      return false
    }
    this.cases++
    return true
  }

  #tell(state: string): void {
    const seconds = (performance.now() - this.#start) / 1_000
    const rate = Math.round(this.cases / seconds)
    this.#say(
      `${this.#name}: ${this.cases} cases in ${Math.round(seconds)} s, ${rate} a second; ${state}`,
    )
  }
}
