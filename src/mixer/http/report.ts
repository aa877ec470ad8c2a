/** `POST /v1/report`: a proxy delivers a batch of usage. */
import { parseReport } from '../../contracts/parse-report.ts'
import {
  MAX_WINDOW_AHEAD_MS,
  type ReportAnswer,
  reportAnswerSchema,
  reportBodySchema,
  type UsageReport,
} from '../../contracts/usage-report.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { MixerMetrics } from '../metrics.ts'
import { type Answer, json, malformed, refusal, refusalFor } from './answer.ts'
import { atOnce } from './at-once.ts'
import { describeIssue } from './message.ts'
import type { Route } from './route.ts'

/** Reports that are read and applied at once: it bounds the memory for their bodies. */
export const MAX_REPORTS_AT_ONCE = 32

export interface ReportDeps {
  readonly ledger: Pick<Ledger, 'apply'>
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: MixerMetrics
}

export function reportRoute(deps: ReportDeps): Route {
  return {
    method: 'POST',
    path: '/v1/report',
    access: 'token',
    documentation: {
      summary: 'Applies a batch of usage records once, however often it is sent.',
      requestBody: reportBodySchema,
      answer: reportAnswerSchema,
      refusals: [
        'malformed_message',
        'producer_unknown',
        'report_gap',
        'window_ahead',
        'payload_too_large',
        'unsupported_media_type',
        'ledger_unavailable',
      ],
    },
    handle: atOnce(MAX_REPORTS_AT_ONCE, 'reports', async call => {
      const body = await call.body()
      return body.ok ? take(deps, body.value) : refusal(body.code, { detail: body.detail })
    }),
  }
}

async function take(deps: ReportDeps, value: unknown): Promise<Answer> {
  const parsed = parseReport(value)
  if (!parsed.success) return malformed(parsed.error.issues.map(describeIssue))
  // A window of the year 3000 would never be billed. It may be our own clock that is wrong: no fault of the message then.
  const ahead = windowsAhead(parsed.data, deps.clock.now())
  return ahead.length > 0 ? refusalFor('window_ahead', ahead) : apply(deps, parsed.data)
}

async function apply(
  { ledger, clock, logger, metrics }: ReportDeps,
  report: UsageReport,
): Promise<Answer> {
  const { producer, sequence, first = sequence, records } = report
  const started = clock.monotonic()
  const result = await ledger.apply(report)
  metrics.reported(result.kind, records.length, (clock.monotonic() - started) / 1_000)
  switch (result.kind) {
    case 'applied':
      // A journal writes no empty batch: this is a proxy that gives up what neither it nor the ledger has.
      if (records.length === 0) logger.warn({ producer, first, sequence }, 'a gap is closed')
      return json({ producer, durable: result.durable } satisfies ReportAnswer)
    case 'repeated':
      return json({ producer, durable: result.durable } satisfies ReportAnswer)
    case 'unknown':
      logger.warn(
        { producer, first, sequence },
        'report refused: nobody has announced its producer',
      )
      return refusal('producer_unknown', {
        detail: `producer ${producer} is not known here: its proxy has to announce it first (POST /v1/producers)`,
      })
    case 'gap':
      logger.warn(
        { producer, first, sequence, expected: result.expected },
        'report refused: one is missing before it',
      )
      return refusal('report_gap', {
        detail: `producer ${producer}: sequence ${result.expected} comes next, not ${first}`,
        extra: { expected: result.expected },
      })
    case 'overflow':
      return malformed([`records[${result.record}]: a sum of its window would pass 2^63 - 1`])
    case 'unavailable':
      logger.error({ producer, sequence, reason: result.detail }, 'the ledger cannot be written')
      return unavailable('nothing of this report is in the ledger')
  }
}

function unavailable(detail: string): Answer {
  return refusal('ledger_unavailable', { detail, headers: { 'retry-after': '1' } })
}

function windowsAhead(report: UsageReport, now: number): string[] {
  const latest = now + MAX_WINDOW_AHEAD_MS
  return report.records.flatMap(({ window }, index) =>
    window > latest
      ? [`records[${index}].window: ${window} is more than 24 hours ahead of the mixer's clock`]
      : [],
  )
}
