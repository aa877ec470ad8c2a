/** What the workers say of tokens that they did not know, as metrics. */
import { noTokenFaults, type TokenIssuerFigures } from '../ipc.ts'
import type { LiveState } from './live-state.ts'
import { CounterTable, type MetricReader } from './metric-tables.ts'

const NONE: Omit<TokenIssuerFigures, 'live'> = {
  closed: { idle: 0, full: 0, changed: 0 },
  fetches: { ok: 0, failed: 0, limited: 0 },
  unchecked: { worker: 0, source: 0, issuer: 0, keys: 0 },
  refused: noTokenFaults(),
  dropped: 0,
}

export class TokenMetrics {
  readonly #live: LiveState
  readonly #closed = new CounterTable()
  readonly #fetches = new CounterTable()
  readonly #unchecked = new CounterTable()
  readonly #refused = new CounterTable()
  #dropped = 0

  constructor(live: LiveState) {
    this.#live = live
    this.record(NONE)
  }

  record({ closed, fetches, unchecked, refused, dropped }: Omit<TokenIssuerFigures, 'live'>): void {
    for (const [reason, count] of Object.entries(closed)) this.#closed.add({ reason }, count)
    for (const [result, count] of Object.entries(fetches)) this.#fetches.add({ result }, count)
    for (const [reason, count] of Object.entries(unchecked)) this.#unchecked.add({ reason }, count)
    for (const [fault, count] of Object.entries(refused)) this.#refused.add({ fault }, count)
    this.#dropped += dropped
  }

  readers(): MetricReader[] {
    return [
      {
        name: 'amt_jwt_issuers',
        help: 'Issuers of tokens that workers keep, with their keys.',
        type: 'gauge',
        read: () => [{ labels: {}, value: this.#live.tokenIssuers() }],
      },
      counter(
        'amt_jwt_issuers_closed_total',
        'Issuers that workers do not keep any more: unused, no room, or changed.',
        this.#closed,
      ),
      counter('amt_jwks_fetches_total', 'Fetches of keys over HTTP.', this.#fetches),
      counter(
        'amt_jwt_unchecked_total',
        'Tokens that could not be checked: too many at once, or no keys.',
        this.#unchecked,
      ),
      counter(
        'amt_jwt_refused_total',
        'Tokens of our issuers that were refused, by what was wrong with them.',
        this.#refused,
      ),
      {
        name: 'amt_jwt_cache_dropped_total',
        help: 'Verified tokens that were forgotten for want of room.',
        type: 'counter',
        read: () => [{ labels: {}, value: this.#dropped }],
      },
    ]
  }
}

function counter(name: string, help: string, table: CounterTable): MetricReader {
  return { name, help, type: 'counter', read: () => table.samples() }
}
