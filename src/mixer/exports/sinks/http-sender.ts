/** Posts to a sink over HTTP, with bounds on time and on what is read, and says what an answer means for what was sent. */
import { Agent, type Dispatcher } from 'undici'
import type { Clock } from '../../../core/clock.ts'
import { isNeverSent } from '../../../runtime/node-errors.ts'
import { messageOf } from '../../ledger/database.ts'
import type { Postponed } from '../item.ts'

const CONNECT_TIMEOUT_MS = 5_000
/** What is read of an answer; the rest is left. */
const MAX_ANSWER_BYTES = 64 * 1024
const MAX_EXCERPT = 200

export type Posted =
  | {
      readonly answered: true
      readonly status: number
      readonly text: string
      readonly retryAfterMs: number | undefined
    }
  | { readonly answered: false; readonly reason: string; readonly sent: 'no' | 'perhaps' }

export interface HttpSenderOptions {
  readonly url: string
  /** Of every request. */
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly connections: number
  readonly clock: Clock
}

export class HttpSender {
  readonly #agent: Agent
  readonly #origin: string
  readonly #path: string
  readonly #options: HttpSenderOptions
  readonly #closing = new AbortController()

  constructor(options: HttpSenderOptions) {
    const { origin, pathname, search } = new URL(options.url)
    this.#origin = origin
    this.#path = pathname + search
    this.#options = options
    this.#agent = new Agent({
      connections: options.connections,
      connect: { timeout: Math.min(CONNECT_TIMEOUT_MS, options.timeoutMs) },
      headersTimeout: options.timeoutMs,
      bodyTimeout: options.timeoutMs,
    })
  }

  /** Never rejects; redirects are not followed. */
  async post(body: string, headers: Readonly<Record<string, string>>): Promise<Posted> {
    const { timeoutMs } = this.#options
    try {
      const response = await this.#agent.request({
        origin: this.#origin,
        path: this.#path,
        method: 'POST',
        headers: { 'user-agent': 'amt-mixer', ...this.#options.headers, ...headers },
        body,
        signal: AbortSignal.any([this.#closing.signal, AbortSignal.timeout(timeoutMs)]),
      })
      return {
        answered: true,
        status: response.statusCode,
        text: await readSome(response.body),
        retryAfterMs: this.#retryAfter(response.headers['retry-after']),
      }
    } catch (cause) {
      const timeout = cause instanceof Error && cause.name === 'TimeoutError'
      const what = timeout ? `no answer within ${timeoutMs} ms` : messageOf(cause)
      const reason = `${new URL(this.#origin).host}: ${what}`
      return { answered: false, reason, sent: isNeverSent(cause) ? 'no' : 'perhaps' }
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the mixer is closing'))
    await this.#agent.destroy()
  }

  #retryAfter(field: string | string[] | undefined): number | undefined {
    if (typeof field !== 'string') return undefined
    const ms = /^\d{1,9}$/.test(field)
      ? Number(field) * 1_000
      : Date.parse(field) - this.#options.clock.now()
    return ms >= 0 ? ms : undefined
  }
}

/** The beginning of an answer that has a status already: whatever happens to the rest of it changes nothing. */
async function readSome(body: Dispatcher.ResponseData['body']): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length
      chunks.push(chunk)
      if (bytes >= MAX_ANSWER_BYTES) break
    }
  } catch {
    // Cut off; what came is enough.
  }
  return Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES).toString('utf8')
}

/** What an answer means, as far as HTTP says it. `item`: it speaks of what was sent. */
export type Meaning =
  | { readonly kind: 'taken' }
  | { readonly kind: 'item'; readonly status: number; readonly reason: string }
  | Postponed

/** Answers that speak of us, the address or the moment, not of what was sent. Nothing was taken then. */
const NOT_OF_ITEM: ReadonlySet<number> = new Set([401, 403, 404, 405, 406, 407, 415, 421, 425, 426])

export function meaningOf(posted: Posted): Meaning {
  if (!posted.answered)
    return { kind: 'later', reason: posted.reason, sent: posted.sent, fault: 'sink' }
  const { status, text, retryAfterMs } = posted
  if (status >= 200 && status < 300) return { kind: 'taken' }
  const reason = `answered ${status}${excerptOf(text)}`
  const later = {
    kind: 'later',
    reason,
    fault: 'sink',
    ...(retryAfterMs === undefined ? {} : { afterMs: retryAfterMs }),
  } as const
  if (status >= 500 || status === 408) return { ...later, sent: 'perhaps' }
  if (status < 400 || status === 429 || NOT_OF_ITEM.has(status)) return { ...later, sent: 'no' }
  return { kind: 'item', status, reason }
}

/** Text of a sink ends in logs and on terminals: one line of plain characters. */
export function excerptOf(text: string): string {
  const plain = text
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, MAX_EXCERPT)
  return plain === '' ? '' : `: ${plain}`
}
