/**
 * Meter events of Stripe, one a request. The `identifier` is the id of the item: Stripe refuses one that it has, which is
 * an acknowledgement, for at least 24 hours. The Idempotency-Key is another one with each attempt, since Stripe gives the
 * same answer to the same key, also where that was a failure of its own.
 */
import { z } from 'zod'
import type { StripeConfig } from '../../../config/export-schema.ts'
import type { Clock } from '../../../core/clock.ts'
import type { Logger } from '../../../runtime/logger.ts'
import { decimalOf } from '../amount.ts'
import type { ExportItem, Outcome, Postponed, Sink } from '../item.ts'
import { Customers } from './customers.ts'
import { excerptOf, HttpSender, meaningOf, type Posted } from './http-sender.ts'

const DAY_MS = 86_400_000
/** Stripe: timestamps within the past 35 days, identifiers unique for at least 24 hours. */
const MAX_AGE_MS = 35 * DAY_MS
const DEDUPLICATION_MS = DAY_MS
const BATCH = 100

export function createStripeSink(config: StripeConfig, clock: Clock, logger: Logger): Sink {
  const customers = new Customers(config.customers, config.customersFile, logger)
  const sender = new HttpSender({
    url: new URL('v1/billing/meter_events', withSlash(config.url)).href,
    headers: {
      authorization: `Bearer ${config.apiKey}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    timeoutMs: config.timeout,
    connections: config.concurrency,
    clock,
  })
  const send = async (item: ExportItem): Promise<Outcome> => {
    const customer = customers.of(item.tenant)
    if (customer === undefined) return noCustomer(item.tenant)
    const body = meterEvent(item, customer, eventName(config, item.metric))
    const key = { 'idempotency-key': `${item.id}.${item.attempts}` }
    return outcomeOf(await sender.post(body, key))
  }
  return {
    batch: BATCH,
    maxAgeMs: MAX_AGE_MS,
    deduplicationMs: DEDUPLICATION_MS,
    async deliver(items) {
      await customers.refresh()
      return deliver(items, config.concurrency, send)
    },
    close: () => sender.close(),
  }
}

function withSlash(url: string): string {
  return url.endsWith('/') ? url : `${url}/`
}

function eventName({ eventNames }: StripeConfig, metric: string): string {
  return eventNames[metric] ?? `amt_${metric.replaceAll(/[^A-Za-z0-9]+/g, '_')}`
}

function meterEvent(item: ExportItem, customer: string, name: string): string {
  return new URLSearchParams({
    event_name: name,
    identifier: item.id,
    timestamp: String(Math.floor(item.window / 1_000)),
    'payload[stripe_customer_id]': customer,
    'payload[value]': decimalOf(item),
  }).toString()
}

function noCustomer(tenant: string): Postponed {
  const reason = `no Stripe customer is known for tenant ${tenant}`
  return { kind: 'later', reason, sent: 'no', fault: 'item' }
}

/** As many at once as allowed; none is begun any more once the sink as a whole has failed. */
async function deliver(
  items: readonly ExportItem[],
  concurrency: number,
  send: (item: ExportItem) => Promise<Outcome>,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = []
  let next = 0
  let failure: Postponed | undefined
  const work = async (): Promise<void> => {
    while (failure === undefined && next < items.length) {
      const at = next++
      const outcome = await send(items[at] as ExportItem)
      outcomes[at] = outcome
      if (outcome.kind === 'later' && outcome.fault === 'sink') failure ??= outcome
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, work))
  return items.map((_, at): Outcome => outcomes[at] ?? notBegun(failure))
}

function notBegun(failure: Postponed | undefined): Postponed {
  const reason = failure?.reason ?? 'not begun'
  return { kind: 'later', reason, sent: 'no', fault: 'sink' }
}

const errorSchema = z.object({
  error: z.object({ code: z.string().optional(), message: z.string().optional() }),
})

function outcomeOf(posted: Posted): Outcome {
  const meaning = meaningOf(posted)
  if (meaning.kind === 'taken') return { kind: 'acknowledged' }
  if (meaning.kind === 'later') return meaning
  // Two requests for the same object at one moment, or for the same key; never a duplicate.
  if (meaning.status === 409)
    return { kind: 'later', reason: meaning.reason, sent: 'perhaps', fault: 'item' }
  const { code, message = '' } = errorOf(posted)
  // The code is missing in some answers; the words are there then.
  if (code === 'duplicate_meter_event' || /event already exists with identifier/i.test(message))
    return { kind: 'acknowledged' }
  const reason = `answered ${meaning.status}${code === undefined ? '' : ` ${code}`}${excerptOf(message)}`
  return { kind: code === 'timestamp_too_far_in_past' ? 'expired' : 'refused', reason }
}

function errorOf(posted: Posted): { readonly code?: string; readonly message?: string } {
  if (!posted.answered) return {}
  try {
    const { code, message } = errorSchema.parse(JSON.parse(posted.text)).error
    return {
      ...(code === undefined ? {} : { code: code.replaceAll(/[^\w]/g, '').slice(0, 64) }),
      ...(message === undefined ? {} : { message }),
    }
  } catch {
    return {}
  }
}
