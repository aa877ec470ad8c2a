/**
 * Counters and histograms that arrive from workers already summed, and how prom-client reads them. Labels become text
 * only when somebody scrapes.
 */
import { type Metric, type OpenMetricsContentType, Registry } from 'prom-client'

export interface Sample {
  readonly labels: Readonly<Record<string, string | number>>
  value: number
  /** For parts of a histogram: `…_bucket`, `…_sum`, `…_count`. */
  readonly metricName?: string
}

export interface MetricReader {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** Called at each scrape. */
  readonly read: () => Sample[]
}

/** Sums with labels. Those of a counter only grow. */
export class CounterTable {
  readonly #series = new Map<string, Sample>()

  /** With an amount of 0 the series merely begins to exist, so that a later first event shows as an increase. */
  add(labels: Readonly<Record<string, string>>, amount: number): void {
    const key = Object.values(labels).join('\0')
    const series = this.#series.get(key)
    if (series === undefined) this.#series.set(key, { labels, value: amount })
    else series.value += amount
  }

  samples(): Sample[] {
    return [...this.#series.values()]
  }
}

/** Histograms by code, fed with counts a bucket instead of single observations. Bounds in ms, exposed in seconds. */
export class HistogramTable {
  readonly #boundsMs: readonly number[]
  readonly #byCode = new Map<string, { readonly counts: number[]; sumMs: number }>()

  constructor(boundsMs: readonly number[]) {
    this.#boundsMs = boundsMs
  }

  /** `counts`: one a bucket and one for what is longer than the last bound; not cumulative. */
  add(code: string, counts: readonly number[], sumMs: number): void {
    let histogram = this.#byCode.get(code)
    if (histogram === undefined) {
      histogram = { counts: [...this.#boundsMs.map(() => 0), 0], sumMs: 0 }
      this.#byCode.set(code, histogram)
    }
    for (const index of histogram.counts.keys()) {
      histogram.counts[index] = (histogram.counts[index] ?? 0) + (counts[index] ?? 0)
    }
    histogram.sumMs += sumMs
  }

  samples(name: string): Sample[] {
    const samples: Sample[] = []
    for (const [code, { counts, sumMs }] of this.#byCode) {
      let cumulative = 0
      for (const [index, count] of counts.entries()) {
        cumulative += count
        const boundMs = this.#boundsMs[index]
        const le = boundMs === undefined ? '+Inf' : boundMs / 1_000
        samples.push({ metricName: `${name}_bucket`, labels: { le, code }, value: cumulative })
      }
      samples.push({ metricName: `${name}_sum`, labels: { code }, value: sumMs / 1_000 })
      samples.push({ metricName: `${name}_count`, labels: { code }, value: cumulative })
    }
    return samples
  }
}

/** A gauge of peaks: the highest value of the last one to two periods, so that a peak between two scrapes is still seen. */
export class Peak {
  readonly #periodMs: number
  #period = 0
  #current = 0
  #former = 0

  constructor(periodMs: number) {
    this.#periodMs = periodMs
  }

  observe(value: number, nowMs: number): void {
    this.#turn(nowMs)
    this.#current = Math.max(this.#current, value)
  }

  value(nowMs: number): number {
    this.#turn(nowMs)
    return Math.max(this.#current, this.#former)
  }

  #turn(nowMs: number): void {
    const period = Math.floor(nowMs / this.#periodMs)
    if (period === this.#period) return
    this.#former = period === this.#period + 1 ? this.#current : 0
    this.#current = 0
    this.#period = period
  }
}

export interface Exposition {
  readonly contentType: string
  readonly body: string
}

/** Both forms of exposition over the same readers. */
export class Expositions {
  readonly #text = new Registry()
  readonly #openMetrics = new Registry<OpenMetricsContentType>()

  constructor(readers: readonly MetricReader[]) {
    this.#openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
    // prom-client renames counters in place for OpenMetrics, so each registry gets objects of its own.
    for (const reader of readers) {
      this.#text.registerMetric(asMetric(reader))
      this.#openMetrics.registerMetric(asMetric(reader))
    }
  }

  /** OpenMetrics where the `Accept` field names it, else the Prometheus text format. */
  async expose(accept: string): Promise<Exposition> {
    const registry = accept.includes('application/openmetrics-text')
      ? this.#openMetrics
      : this.#text
    return { contentType: registry.contentType, body: await registry.metrics() }
  }
}

/** prom-client's own classes cannot take counts in bulk; its registry needs no more than this of a metric. */
function asMetric({ name, help, type, read }: MetricReader): Metric {
  const metric = {
    name,
    help,
    type,
    get: async () => ({ name: metric.name, help, type, values: read(), aggregator: 'sum' }),
    reset: () => {},
  }
  return metric as unknown as Metric
}
