/** Which calls get a span, and what their deployments are told of it. */
import { randomBytes } from 'node:crypto'
import { flatCopy } from '../../codec/latin1.ts'
import { parseTraceparent, type TraceParent, traceparentText } from '../../codec/trace-context.ts'
import { RateLimit, rateOf } from '../limits/rate-limit.ts'

/** Of a call that gets a span. */
export interface CallTrace {
  readonly traceId: string
  /** Of our own span. */
  readonly spanId: string
  /** The span of whoever called us, or '' where the trace begins here. */
  readonly parentId: string
  /** What its deployment gets as `traceparent`: our span is the parent of the next. */
  readonly traceparent: string
}

export interface SamplerOptions {
  /** 0 to 1: of the calls for which nobody else decides. */
  readonly sampling: number
  /** A second, of all workers: calls that get a span because a client that is not trusted asks for it. */
  readonly clientSampling: number
  /** 0 up to, and without, 1. */
  readonly random: () => number
}

export class CallSampler {
  readonly #options: SamplerOptions
  /** Undefined where clients have no say. */
  readonly #clients: RateLimit | undefined

  constructor(options: SamplerOptions, workers: number) {
    this.#options = options
    const perSecond = options.clientSampling / workers
    this.#clients = perSecond > 0 ? new RateLimit(rateOf(perSecond, perSecond)) : undefined
  }

  /** So many workers share the rate of clients from now on. */
  share(workers: number, now: number): void {
    const perSecond = this.#options.clientSampling / workers
    this.#clients?.change(rateOf(perSecond, perSecond), now)
  }

  /**
   * Undefined for a call without a span. A valid `traceparent` decides, with two exceptions: those of strangers (not
   * `trusted`) get spans up to a rate alone, and beyond it by chance. Chance, and not the trace id: that is the client's choice.
   */
  sample(traceparent: string, trusted: boolean, now: number): CallTrace | undefined {
    const parent = traceparent === '' ? undefined : parseTraceparent(traceparent)
    if (parent === undefined) return this.#byChance() ? newTrace() : undefined
    if (!parent.sampled) return undefined
    return trusted || this.#clients?.take(now) === 0 || this.#byChance()
      ? childOf(parent)
      : undefined
  }

  #byChance(): boolean {
    const { sampling, random } = this.#options
    return sampling >= 1 || (sampling > 0 && random() < sampling)
  }
}

function newTrace(): CallTrace {
  const ids = randomBytes(24).toString('hex')
  return traceOf(ids.slice(0, 32), ids.slice(32), { parentId: '', random: true })
}

function childOf({ traceId, spanId, random }: TraceParent): CallTrace {
  // Copies: what was cut out of a head would keep all of it for as long as the span waits.
  const [trace = '', parentId = ''] = [flatCopy(traceId), flatCopy(spanId)]
  return traceOf(trace, randomBytes(8).toString('hex'), { parentId, random })
}

function traceOf(
  traceId: string,
  spanId: string,
  { parentId, random }: { readonly parentId: string; readonly random: boolean },
): CallTrace {
  const traceparent = traceparentText({ traceId, spanId, sampled: true, random })
  return { traceId, spanId, parentId, traceparent }
}
