/**
 * CloudEvents 1.0 over HTTP, alone (structured mode) or in batches, as OpenMeter takes them: `subject` is the tenant, `time`
 * the start of the window, so that the usage falls into the same hour, day and month there as here.
 */
import type { CloudEventsConfig } from '../../../config/export-schema.ts'
import type { Clock } from '../../../core/clock.ts'
import { amountOf } from '../amount.ts'
import type { ExportSpec } from '../export-spec.ts'
import type { ExportItem, Outcome, Sink } from '../item.ts'
import { HttpSender, meaningOf } from './http-sender.ts'

export function createCloudEventsSink(
  config: CloudEventsConfig,
  spec: ExportSpec,
  clock: Clock,
): Sink {
  const authorization =
    config.token === undefined ? {} : { authorization: `Bearer ${config.token}` }
  const sender = new HttpSender({
    url: config.url,
    headers: { ...authorization, ...config.headers },
    timeoutMs: config.timeout,
    connections: 2,
    clock,
  })
  return {
    batch: config.batch,
    ...(config.maxAge === 0 ? {} : { maxAgeMs: config.maxAge }),
    ...(config.deduplication === 0 ? {} : { deduplicationMs: config.deduplication }),
    deliver: async items =>
      deliver(items, async part => {
        const events = part.map(item => cloudEvent(item, spec, config.type))
        const { body, type } = config.batch === 1 ? structured(events) : batched(events)
        return meaningOf(await sender.post(body, { 'content-type': type }))
      }),
    close: () => sender.close(),
  }
}

function structured(events: readonly object[]): { body: string; type: string } {
  return { body: JSON.stringify(events[0]), type: 'application/cloudevents+json' }
}

function batched(events: readonly object[]): { body: string; type: string } {
  return { body: JSON.stringify(events), type: 'application/cloudevents-batch+json' }
}

/** The event of an item; the same one however often it is sent. */
function cloudEvent(item: ExportItem, spec: ExportSpec, type: string): object {
  return {
    specversion: '1.0',
    id: item.id,
    source: spec.source,
    type: type.replaceAll('{metric}', item.metric),
    subject: item.tenant,
    time: new Date(item.window).toISOString(),
    datacontenttype: 'application/json',
    data: {
      value: amountOf(item),
      metric: item.metric,
      ...(item.operation === '' ? {} : { operation: item.operation }),
      window: new Date(item.window).toISOString(),
      windowEnd: new Date(item.window + spec.windowMs).toISOString(),
      revision: Number(item.revision),
    },
  }
}

type Post = (items: readonly ExportItem[]) => Promise<ReturnType<typeof meaningOf>>

/**
 * A batch that is refused is cut in two until it is clear which items are meant: one bad event must not hold up the others,
 * and not be lost among them either.
 */
async function deliver(items: readonly ExportItem[], post: Post): Promise<readonly Outcome[]> {
  const meaning = await post(items)
  if (meaning.kind === 'taken') return items.map(() => ({ kind: 'acknowledged' }))
  if (meaning.kind === 'later') return items.map(() => meaning)
  if (items.length === 1) {
    // Conflict: it has an event with this source and id.
    const known = meaning.status === 409
    return [known ? { kind: 'acknowledged' } : { kind: 'refused', reason: meaning.reason }]
  }
  const middle = items.length >> 1
  const first = await deliver(items.slice(0, middle), post)
  const rest = items.slice(middle)
  const failure = first.find(outcome => outcome.kind === 'later')
  // The whole batch was sent before, and what was answered speaks of some part of it.
  if (failure !== undefined) return [...first, ...rest.map(() => perhaps(failure))]
  return [...first, ...(await deliver(rest, post))]
}

function perhaps(outcome: Outcome): Outcome {
  return outcome.kind === 'later' ? { ...outcome, sent: 'perhaps' } : outcome
}
