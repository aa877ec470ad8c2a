/** Spans of calls, and where they go. */
import { z } from 'zod'
import { fieldName } from './forms.ts'
import { duration, fraction, offOr, rate } from './quantities.ts'

const URL_FORM =
  'must be an http or https URL without user and password; what opens it goes into headers'
const QUEUE = 'must be a number from 256 to 65536'
const TIMEOUT = 'must be from 100ms to 60s'

export const tracing = z.strictObject({
  otlp: z
    .url({ protocol: /^https?$/, error: URL_FORM })
    .refine(text => {
      const { username, password } = new URL(text)
      return username === '' && password === ''
    }, URL_FORM)
    .describe(
      'Collector that takes OTLP over HTTP as JSON, such as `http://127.0.0.1:4318`; its path is `/v1/traces` where none is given.',
    ),
  headers: z
    .record(fieldName(), z.string().regex(/^[\x20-\x7e]*$/, 'must be printable ASCII'))
    .default({})
    .describe('More header fields of every export, such as what opens the collector.'),
  sampling: fraction()
    .prefault('1%')
    .describe('Part of the calls that get a span, by chance, where no `traceparent` decides it.'),
  clientSampling: offOr(rate())
    .prefault('10/s')
    .describe(
      'Calls that get a span because a client outside `trustedProxies` asks for it in `traceparent`; beyond that `sampling` decides. Or off. Divided among the workers.',
    ),
  timeout: duration()
    .refine(ms => ms >= 100 && ms <= 60_000, TIMEOUT)
    .prefault('10s')
    .describe('How long an export may take, together with its repetitions.'),
  queue: z
    .number({ error: QUEUE })
    .int(QUEUE)
    .min(256, QUEUE)
    .max(65_536, QUEUE)
    .default(2_048)
    .describe('Spans that may wait in a worker for the collector; those beyond it are dropped.'),
})
