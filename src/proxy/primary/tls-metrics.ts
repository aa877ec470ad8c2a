/** TLS in the metrics: handshakes from the reports of the workers, certificates from the files that the primary reads. */
import type { WorkerReport } from '../ipc.ts'
import { CounterTable, type MetricReader, type Sample } from './metric-tables.ts'

/** What ends by itself one day. */
export interface Expiry {
  readonly listener: string
  readonly kind: 'certificate' | 'authority' | 'revocation_list'
  /** Its first name, or its subject. */
  readonly name: string
  /** Hexadecimal; empty for a revocation list. */
  readonly serial: string
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** Series of expiries, those that come first: a listener may have thousands of authorities. */
const MOST_EXPIRIES = 200

export interface TlsMetricsOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

export class TlsMetrics {
  readonly #now: () => number
  readonly #handshakes = new CounterTable()
  readonly #failures = new CounterTable()
  readonly #errors = new CounterTable()
  #expiries: readonly Expiry[] = []

  constructor({ now }: TlsMetricsOptions) {
    this.#now = now
  }

  record({ handshakes, handshakeFailures }: WorkerReport): void {
    for (const { listener, full, resumed } of handshakes) {
      this.#handshakes.add({ listener, session: 'new' }, full)
      this.#handshakes.add({ listener, session: 'resumed' }, resumed)
    }
    for (const { reason, listener, count } of handshakeFailures)
      this.#failures.add({ reason, listener }, count)
  }

  /** Of all listeners. */
  set expiries(expiries: readonly Expiry[]) {
    this.#expiries = expiries.toSorted((a, b) => a.at - b.at).slice(0, MOST_EXPIRIES)
    for (const { listener } of expiries) this.#errors.add({ listener }, 0)
  }

  /** The files of a listener could not be used, and the former ones stay. */
  refused(listener: string): void {
    this.#errors.add({ listener }, 1)
  }

  readers(): MetricReader[] {
    return [
      {
        name: 'amt_tls_handshakes_total',
        help: 'TLS handshakes that came to an end, full ones and those of resumed sessions.',
        type: 'counter',
        read: () => this.#handshakes.samples(),
      },
      {
        name: 'amt_tls_handshake_failures_total',
        help: 'TLS handshakes that failed.',
        type: 'counter',
        read: () => this.#failures.samples(),
      },
      {
        name: 'amt_certificate_errors_total',
        help: 'Changes of certificate files that could not be used, and left the former ones in place.',
        type: 'counter',
        read: () => this.#errors.samples(),
      },
      {
        name: 'amt_certificate_expiry_seconds',
        help: 'Until a certificate, an authority or a revocation list of a listener expires; negative once it has.',
        type: 'gauge',
        read: () => this.#expirySamples(),
      },
    ]
  }

  #expirySamples(): Sample[] {
    const now = this.#now()
    return this.#expiries.map(({ listener, kind, name, serial, at }) => ({
      labels: { listener, kind, name, serial },
      value: Math.round((at - now) / 1_000),
    }))
  }
}
