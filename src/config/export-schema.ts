/** `exports` of the configuration: where closed windows of the ledger go, each to one payment system or file. */
import { z } from 'zod'
import { TENANT_ID_PATTERN } from '../core/tenant-id.ts'
import { fieldName, labelledTenants, name, path } from './forms.ts'
import { duration, offOr } from './quantities.ts'

/** A window is never closed sooner than this after its end; see `LateUsage` of the mixer for what depends on it. */
const LEAST_DELAY_MS = 60_000
/** Stripe takes usage that is 35 days late; we must still know by then what of a window was exported. */
const LEAST_KEEP_MS = 36 * 86_400_000

const METRIC =
  'must be calls, ingress, egress, connections, connectionMs, callMs, requestMessages, responseMessages, or event:NAME for charges'
const metric = (): z.ZodString =>
  z
    .string()
    .regex(
      /^(calls|ingress|egress|connections|connectionMs|callMs|requestMessages|responseMessages|event:[A-Za-z0-9][A-Za-z0-9._-]{0,62})$/,
      METRIC,
    )

const httpUrl = (): z.ZodURL =>
  z.url({ protocol: /^https?$/, error: 'must be an http or https URL' })

const common = {
  name: name().describe(
    'Name of the export, in the ledger for ever: a new name starts anew, with nothing acknowledged.',
  ),
  source: z
    .string()
    .regex(/^[\x21-\x7e]{1,200}$/, 'must be 1 to 200 printable characters without a space')
    .optional()
    .describe(
      'Goes into every id and is the `source` of events; `amt/` and the name of the service by default. Installations that feed one account need different ones.',
    ),
  window: z
    .enum(['minute', 'hour', 'day'])
    .default('hour')
    .describe('Length of the windows, in UTC; one item a tenant, metric and window.'),
  delay: duration()
    .refine(ms => ms >= LEAST_DELAY_MS, 'must be at least 1m')
    .prefault('5m')
    .describe(
      'A window is closed so long after its end: usage that comes later follows as a correction.',
    ),
  metrics: z
    .array(metric())
    .min(1)
    .max(100)
    .default(['calls', 'ingress', 'egress'])
    .describe('What is exported: counters of the ledger, and `event:NAME` for charges.'),
  by: z
    .array(z.enum(['operation']))
    .max(1)
    .default([])
    .describe('`[operation]`: one item an operation as well.'),
  since: z.iso
    .datetime({ offset: true, error: 'must be a time such as 2026-11-01T00:00:00Z' })
    .optional()
    .describe(
      'Usage from this time on, looked at on the very first start; by default from the window of that start.',
    ),
  keep: duration()
    .refine(ms => ms >= LEAST_KEEP_MS, 'must be at least 36d')
    .prefault('90d')
    .describe('How long it is known what was acknowledged; later usage can no longer be exported.'),
}

const timeout = (): z.ZodPrefault<ReturnType<typeof duration>> => duration().prefault('10s')

const cloudEvents = z.strictObject({
  ...common,
  kind: z
    .literal('cloudevents')
    .describe('CloudEvents 1.0 over HTTP, as OpenMeter and others take them.'),
  url: httpUrl().describe('Where events are posted to.'),
  token: z.string().min(1).optional().describe('Sent as `authorization: Bearer …`.'),
  headers: z
    .record(fieldName(), z.string().regex(/^[\x20-\x7e]*$/, 'must be printable ASCII'))
    .default({})
    .describe('More header fields of every request.'),
  type: z
    .string()
    .min(1)
    .max(200)
    .default('amt.{metric}')
    .describe('The `type` of events; `{metric}` is replaced.'),
  batch: z
    .number()
    .int()
    .min(1)
    .max(1_000)
    .default(100)
    .describe('Events a request; with 1 each is sent alone, not in a batch.'),
  timeout: timeout().describe('How long a request may take.'),
  deduplication: offOr(duration())
    .default(0)
    .describe(
      'For how long the sink knows an event again; one whose fate is unknown is not sent later than that. `off`: for ever.',
    ),
  maxAge: offOr(duration())
    .default(0)
    .describe('How old usage the sink takes; older items expire, loudly. `off`: any.'),
})

const stripe = z.strictObject({
  ...common,
  kind: z.literal('stripe').describe('Meter events of Stripe.'),
  url: httpUrl().default('https://api.stripe.com').describe('Address of the API.'),
  apiKey: z.string().min(1).describe('A key that may write meter events.'),
  eventNames: z
    .partialRecord(metric(), z.string().min(1).max(100))
    .default({})
    .describe(
      'Event name of the meter for a metric; `amt_calls` for calls, and so on, by default.',
    ),
  customers: z
    .record(
      z.string().regex(TENANT_ID_PATTERN, 'must be the id of a tenant'),
      z.string().min(1).max(255),
    )
    .default({})
    .describe('Customer id of each tenant. Usage of a tenant without one waits, loudly.'),
  customersFile: path()
    .optional()
    .describe('JSON file with more of them, `{"tenant": "cus_…"}`; a change applies at once.'),
  concurrency: z
    .number()
    .int()
    .min(1)
    .max(100)
    .default(10)
    .describe('Requests at once; each carries one event.'),
  timeout: timeout().describe('How long a request may take.'),
})

const file = z.strictObject({
  ...common,
  kind: z.literal('file').describe('Newline-JSON, one file a window, written in one go.'),
  directory: path().describe('Directory for the files; it is made where it is missing.'),
})

const prometheus = z.strictObject({
  ...common,
  kind: z.literal('prometheus').describe('`amt_billed_total` in the metrics of the mixer.'),
  tenants: labelledTenants(),
})

export const exportSchema = z.discriminatedUnion('kind', [cloudEvents, stripe, file, prometheus])

export type ExportConfig = z.output<typeof exportSchema>
export type CloudEventsConfig = z.output<typeof cloudEvents>
export type StripeConfig = z.output<typeof stripe>
export type FileConfig = z.output<typeof file>
export type PrometheusConfig = z.output<typeof prometheus>
