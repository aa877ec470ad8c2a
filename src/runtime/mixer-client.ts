/**
 * Speaks to the mixer over HTTP for whoever reports or reads usage. It keeps connections open between calls and decides
 * nothing: when to try again is the caller's business.
 */
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { Agent, type Dispatcher } from 'undici'
import type { z } from 'zod'
import {
  type ExportDecision,
  type ExportState,
  type ExportsAnswer,
  exportDecisionAnswerSchema,
  exportsAnswerSchema,
} from '../contracts/export-status.ts'
import { type Problem, problemCode, problemSchema } from '../contracts/problem.ts'
import {
  type Announcement,
  type AnnouncementAnswer,
  announcementAnswerSchema,
} from '../contracts/producer-announcement.ts'
import {
  type Allocation,
  type AllocationBatchAnswer,
  allocationBatchAnswerSchema,
} from '../contracts/quota.ts'
import { type MixerBooks, type MixerBooksQuery, mixerBooksSchema } from '../contracts/reconcile.ts'
import {
  type Registration,
  type RegistrationAnswer,
  registrationAnswerSchema,
} from '../contracts/registration.ts'
import { type UsageAnswer, type UsageQuery, usageAnswerSchema } from '../contracts/usage-query.ts'
import { columnReport, reportAnswerSchema, type UsageReport } from '../contracts/usage-report.ts'

const CONNECT_TIMEOUT_MS = 2_000
/** Longer than a mixer waits for the lock of its ledger, so that it is the mixer that says what is wrong. */
const ANSWER_TIMEOUT_MS = 15_000
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

/** No valid answer came, or one that says to try again later (5xx, 408, 429). The call may have had its effect. */
export interface MixerUnreachable {
  readonly ok: false
  readonly reason: 'unreachable'
  /** One line for a log: what failed, at which address. Never holds the token. */
  readonly detail: string
}

/** The mixer answered that it will not do this. Nothing has changed in the ledger. */
export interface MixerRefused {
  readonly ok: false
  readonly reason: 'refused'
  readonly status: number
  /**
   * Code of the error table. `malformed_message`, `payload_too_large` and `unsupported_media_type` will not get better by
   * sending the same again; `unauthorized`, `producer_unknown`, `report_gap`, `window_ahead` and `not_found` may, once the other side is put right.
   */
  readonly code: string
  readonly detail: string
  /** Everything that is wrong with the message. */
  readonly problems: readonly string[]
  /** With `report_gap`: the sequence that the mixer waits for. */
  readonly expected?: number
}

export type MixerFailure = MixerUnreachable | MixerRefused
/** `sent`: bytes of the body as it went over the network. */
export type ReportResult =
  | { readonly ok: true; readonly durable: number; readonly sent: number }
  | MixerFailure
export type AnnounceResult =
  | { readonly ok: true; readonly producers: AnnouncementAnswer['producers'] }
  | MixerFailure
export type RegisterResult =
  | { readonly ok: true; readonly answer: RegistrationAnswer }
  | MixerFailure
export type BooksResult = { readonly ok: true; readonly books: MixerBooks } | MixerFailure
export type UsageResult = { readonly ok: true; readonly usage: UsageAnswer } | MixerFailure
/** In the order of the allocations. */
export type AllocateResult =
  | { readonly ok: true; readonly allocations: AllocationBatchAnswer['allocations'] }
  | MixerFailure

export type ExportsResult = { readonly ok: true; readonly answer: ExportsAnswer } | MixerFailure
export type DecisionResult = { readonly ok: true; readonly changed: number } | MixerFailure

/** Which items of exports to answer; those that wait for a decision where no state is given. */
export interface ExportsQuery {
  readonly export?: string
  readonly state?: ExportState
  readonly tenant?: string
  readonly limit?: number
}

/** No call ever rejects because of the network or the mixer. */
export interface MixerClient {
  /** Says which producers are of a proxy, before their reports; answers what of each is durable. */
  announce(announcement: Announcement, signal?: AbortSignal): Promise<AnnounceResult>
  /** Delivers one report; `durable` is the sequence up to which all of this producer is in the ledger. */
  report(report: UsageReport, signal?: AbortSignal): Promise<ReportResult>
  usage(query: UsageQuery): Promise<UsageResult>
  /** One page of what the ledger has of each producer. */
  books(query: MixerBooksQuery): Promise<BooksResult>
  /** Tells whose deployments there are; the answer may ask for more. */
  register(registration: Registration): Promise<RegisterResult>
  /** Takes parts of quotas, at most 200 at once, each with its tenant; each is granted or refused by itself. */
  allocate(allocations: readonly Allocation[]): Promise<AllocateResult>
  exports(query: ExportsQuery): Promise<ExportsResult>
  /** `changed`: how many items. */
  decideExports(decision: ExportDecision): Promise<DecisionResult>
  /** Ends its connections; calls under way fail as unreachable. */
  close(): Promise<void>
}

export interface MixerClientOptions {
  /** `http://host:port` or https; a path in it is kept as a prefix. */
  readonly url: string
  readonly token: string
  /** PEM file of the authorities that an https mixer is verified against; those of Node by default. */
  readonly ca?: string | undefined
  /** How long a whole call may take; 15 s by default. */
  readonly timeoutMs?: number
}

const compress = promisify(gzip)

/** Throws where the file of `ca` cannot be read. */
export function createMixerClient(options: MixerClientOptions): MixerClient {
  const { url, token, ca, timeoutMs = ANSWER_TIMEOUT_MS } = options
  const base = new URL(url)
  const prefix = base.pathname.replace(/\/+$/, '')
  const agent = new Agent({
    connections: 4,
    connect: {
      timeout: CONNECT_TIMEOUT_MS,
      ...(ca === undefined ? {} : { ca: readFileSync(ca, 'utf8') }),
    },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  })
  const call = async (
    method: 'GET' | 'POST',
    path: string,
    { body, signal }: { body?: Buffer; signal?: AbortSignal | undefined } = {},
  ): Promise<Reply> => {
    const headers = {
      authorization: `Bearer ${token}`,
      accept: 'application/json',
      ...(body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-encoding': 'gzip' }),
    }
    const timeout = AbortSignal.timeout(timeoutMs)
    try {
      const response = await agent.request({
        origin: base.origin,
        path: prefix + path,
        method,
        headers,
        body: body ?? null,
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      })
      return { status: response.statusCode, body: await readJson(response.body) }
    } catch (cause) {
      return unreachable(base, causeOf(cause))
    }
  }
  /** Sends, and reads an answer of that form. */
  const ask = async <Answer>(
    form: z.ZodType<Answer>,
    path: string,
    sent: { body?: Buffer; signal?: AbortSignal | undefined } = {},
  ): Promise<{ readonly answer: Answer } | MixerFailure> => {
    const reply = await call(sent.body === undefined ? 'GET' : 'POST', path, sent)
    if ('ok' in reply) return reply
    if (reply.status !== 200) return failureOf(base, reply)
    const answer = form.safeParse(reply.body)
    return answer.success ? { answer: answer.data } : notAMixer(base, reply.status)
  }
  return clientOf(base, ask, async () => agent.destroy())
}

type Ask = <Answer>(
  form: z.ZodType<Answer>,
  path: string,
  sent?: { body?: Buffer; signal?: AbortSignal | undefined },
) => Promise<{ readonly answer: Answer } | MixerFailure>

function clientOf(base: URL, ask: Ask, close: () => Promise<void>): MixerClient {
  return {
    async announce(announcement, signal) {
      const body = await encode(announcement)
      const asked = await ask(announcementAnswerSchema, '/v1/producers', { body, signal })
      if ('ok' in asked) return asked
      const { proxy, producers } = asked.answer
      return proxy === announcement.proxy ? { ok: true, producers } : notAMixer(base, 200)
    },
    async report(report, signal) {
      const body = await encodeReport(report)
      const asked = await ask(reportAnswerSchema, '/v1/report', { body, signal })
      if ('ok' in asked) return asked
      const { producer, durable } = asked.answer
      return producer === report.producer
        ? { ok: true, durable, sent: body.length }
        : notAMixer(base, 200)
    },
    async usage(query) {
      const asked = await ask(usageAnswerSchema, `/v1/usage${searchOf(query)}`)
      return 'ok' in asked ? asked : { ok: true, usage: asked.answer }
    },
    async books(query) {
      const asked = await ask(mixerBooksSchema, `/v1/reconcile${booksSearchOf(query)}`)
      return 'ok' in asked ? asked : { ok: true, books: asked.answer }
    },
    async register(registration) {
      const body = await encode(registration)
      const asked = await ask(registrationAnswerSchema, '/v1/registration', { body })
      if ('ok' in asked) return asked
      const { answer } = asked
      return answer.proxy === registration.proxy ? { ok: true, answer } : notAMixer(base, 200)
    },
    async allocate(allocations) {
      const body = await encode({ allocations })
      const asked = await ask(allocationBatchAnswerSchema, '/v1/quota/allocate', { body })
      if ('ok' in asked) return asked
      const { answer } = asked
      return answer.allocations.length === allocations.length
        ? { ok: true, allocations: answer.allocations }
        : notAMixer(base, 200)
    },
    async exports(query) {
      const given = Object.entries(query).map(([name, value]) => [name, String(value)])
      const path = `/v1/exports?${new URLSearchParams(given).toString()}`
      const asked = await ask(exportsAnswerSchema, path)
      return 'ok' in asked ? asked : { ok: true, answer: asked.answer }
    },
    async decideExports(decision) {
      const body = await encode(decision)
      const asked = await ask(exportDecisionAnswerSchema, '/v1/exports', { body })
      return 'ok' in asked ? asked : { ok: true, changed: asked.answer.changed }
    },
    close,
  }
}

/** The body of a report as it goes over the network. */
export async function encodeReport(report: UsageReport): Promise<Buffer> {
  return encode(columnReport(report))
}

async function encode(message: unknown): Promise<Buffer> {
  return compress(JSON.stringify(message))
}

type Reply = { readonly status: number; readonly body: unknown } | MixerUnreachable

function searchOf(query: UsageQuery): string {
  const search = new URLSearchParams()
  for (const key of ['tenant', 'from', 'to', 'limit', 'cursor'] as const) {
    const value = query[key]
    if (value !== undefined) search.set(key, String(value))
  }
  if (query.by !== undefined && query.by.length > 0) search.set('by', query.by.join(','))
  return search.size === 0 ? '' : `?${search.toString()}`
}

function booksSearchOf({ producers, after, tenants }: MixerBooksQuery): string {
  const search = new URLSearchParams()
  if (producers !== undefined) search.set('producers', producers.join(','))
  if (after !== undefined) search.set('after', after)
  if (tenants === true) search.set('by', 'tenant')
  return search.size === 0 ? '' : `?${search.toString()}`
}

/** The body as JSON; undefined where it is none. Rejects when it is larger than any answer of a mixer. */
async function readJson(body: Dispatcher.ResponseData['body']): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_ANSWER_BYTES)
      throw new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    return undefined
  }
}

function failureOf(
  base: URL,
  reply: { readonly status: number; readonly body: unknown },
): MixerFailure {
  const { status } = reply
  const problem = problemSchema.safeParse(reply.body)
  const code = problem.success ? problemCode(problem.data) : undefined
  if (!problem.success || code === undefined) return notAMixer(base, status)
  const detail = detailOf(problem.data)
  if (status >= 500 || status === 408 || status === 429)
    return unreachable(base, `${status} ${code}: ${detail}`)
  const { problems = [], expected } = problem.data
  return {
    ok: false,
    reason: 'refused',
    status,
    code,
    detail,
    problems,
    ...(expected === undefined ? {} : { expected }),
  }
}

function detailOf(problem: Problem): string {
  return problem.detail ?? problem.title
}

function notAMixer(base: URL, status: number): MixerUnreachable {
  return unreachable(base, `answered ${status}, but not as a mixer does`)
}

function unreachable(base: URL, detail: string): MixerUnreachable {
  return { ok: false, reason: 'unreachable', detail: `${base.host}: ${detail}` }
}

/** A connection tried on several addresses fails with an AggregateError, whose own message is empty. */
function causeOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return causeOf(cause.errors[0])
  if (!(cause instanceof Error)) return String(cause)
  return cause.name === 'TimeoutError' ? 'no answer in time' : cause.message
}
