/** Spans of calls, where they are configured: which calls have one, and what becomes of them. */
import type { Config } from '../../config/schema.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { TraceFigures } from '../ipc.ts'
import { callSpan, type TracedCall } from './call-span.ts'
import { CallSampler } from './call-trace.ts'
import type { SpanExport } from './span-export.ts'

export interface TracingOptions {
  /** `tracing` of the configuration. */
  readonly tracing: NonNullable<Config['tracing']>
  readonly service: string
  /** Names the worker. */
  readonly journal: { readonly producer: string }
  readonly workers: number
  readonly clock: Clock
  readonly logger: Logger
  /** 0 up to, and without, 1. */
  readonly random: () => number
}

/** Of a worker without spans. */
export const NO_SPANS: TraceFigures = { exported: 0, failed: 0, dropped: 0 }

/** How often somebody is told of spans that are lost. */
const TELL_MS = 60_000
/** What a collector may take for the last spans. */
const END_MS = 2_000

export class Tracing {
  readonly sampler: CallSampler
  readonly #options: TracingOptions
  #export: SpanExport | undefined
  #waiting = 0
  #exported = 0
  #failed = 0
  #dropped = 0
  #untold = 0
  #lastError: Error | undefined
  #toldAt = Number.NEGATIVE_INFINITY
  #ended = false

  constructor(options: TracingOptions) {
    const { sampling, clientSampling } = options.tracing
    this.#options = options
    this.sampler = new CallSampler(
      { sampling, clientSampling, random: options.random },
      options.workers,
    )
  }

  /** Loads what sends them; before the first call. */
  async start(): Promise<void> {
    const { SpanExport } = await import('./span-export.ts')
    const { tracing, service, journal } = this.#options
    this.#export = new SpanExport({
      tracing,
      service,
      instance: journal.producer,
      settled: this.#settled,
    })
  }

  /** Of a call that has ended, and has a trace. Never waits for anybody. */
  record(traced: TracedCall): void {
    if (this.#export === undefined || this.#waiting >= this.#options.tracing.queue) {
      this.#dropped++
      return
    }
    this.#waiting++
    this.#export.add(callSpan(traced))
  }

  readonly #settled = (spans: number, error: Error | undefined): void => {
    // What is late at the end was given up already.
    if (this.#ended) return
    this.#waiting -= spans
    if (error === undefined) this.#exported += spans
    else this.#failed += spans
    if (error !== undefined) this.#lastError = error
  }

  /** What happened since the last time. */
  take(): TraceFigures {
    const figures = { exported: this.#exported, failed: this.#failed, dropped: this.#dropped }
    this.#exported = 0
    this.#failed = 0
    this.#dropped = 0
    this.#tell(figures.failed + figures.dropped)
    return figures
  }

  #tell(lost: number): void {
    this.#untold += lost
    const { clock, logger } = this.#options
    const now = clock.monotonic()
    if (this.#untold === 0 || now - this.#toldAt < TELL_MS) return
    logger.warn(
      { spans: this.#untold, err: this.#lastError?.message },
      'spans were lost: the collector does not take them, or not as fast as they come',
    )
    this.#untold = 0
    this.#lastError = undefined
    this.#toldAt = now
  }

  /** Sends the last spans, for as long as that does not take too long; those that are left are dropped. */
  async end(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>(resolve => {
      timer = setTimeout(resolve, END_MS)
    })
    await Promise.race([this.#export?.end(), late])
    clearTimeout(timer)
    this.#ended = true
    this.#dropped += this.#waiting
    this.#waiting = 0
    this.#export = undefined
  }
}

/** Undefined where there are to be none. */
export function createTracing(
  config: Pick<Config, 'tracing' | 'service'>,
  options: Omit<TracingOptions, 'tracing' | 'service'>,
): Tracing | undefined {
  const { tracing, service } = config
  return tracing === undefined
    ? undefined
    : new Tracing({ tracing, service: service.name, ...options })
}
