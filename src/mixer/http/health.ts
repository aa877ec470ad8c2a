/** What is open to everyone who reaches the mixer: whether it lives, whether it is ready, and its metrics. */
import { z } from 'zod'
import type { Ledger } from '../ledger/ledger.ts'
import type { MixerMetrics } from '../metrics.ts'
import { json, refusal } from './answer.ts'
import type { PlainRoute } from './route.ts'

export interface HealthDeps {
  readonly ledger: Ledger
  readonly metrics: MixerMetrics
  /** Whether the mixer is shutting down. */
  readonly draining: () => boolean
}

const statusSchema = z.strictObject({ status: z.literal('ok') })

export function healthRoutes({ ledger, metrics, draining }: HealthDeps): PlainRoute[] {
  const open = { method: 'GET', access: 'open' } as const
  return [
    {
      ...open,
      path: '/livez',
      documentation: { summary: 'The process answers.', answer: statusSchema, refusals: [] },
      handle: async () => json({ status: 'ok' }),
    },
    {
      ...open,
      path: '/readyz',
      documentation: {
        summary: 'Reports can be applied.',
        answer: statusSchema,
        refusals: ['draining', 'ledger_unavailable'],
      },
      async handle() {
        if (draining()) return refusal('draining')
        return (await ledger.check()) === undefined
          ? json({ status: 'ok' })
          : refusal('ledger_unavailable')
      },
    },
    {
      ...open,
      path: '/metrics',
      documentation: {
        summary: 'Metrics in the text format of Prometheus.',
        answer: 'text/plain',
        refusals: [],
      },
      async handle() {
        return {
          status: 200,
          headers: { 'content-type': metrics.contentType },
          body: await metrics.exposition(),
        }
      },
    },
  ]
}
