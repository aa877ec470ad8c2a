import { test } from 'tap'
import { healthRoutes } from '../../../src/mixer/http/health.ts'
import type { Ledger, LedgerUnavailable } from '../../../src/mixer/ledger/ledger.ts'
import { createMixerMetrics } from '../../../src/mixer/metrics.ts'

interface State {
  readonly ledger?: LedgerUnavailable
  readonly draining?: boolean
}

async function status(
  path: string,
  { ledger: unavailable, draining = false }: State,
): Promise<number | undefined> {
  const unused = async (): Promise<never> => {
    throw new Error('health is no reason to read or write usage')
  }
  const ledger: Ledger = {
    check: async () => unavailable,
    announce: unused,
    apply: unused,
    usage: unused,
    books: unused,
  }
  const routes = healthRoutes({ ledger, metrics: createMixerMetrics(), draining: () => draining })
  const route = routes.find(each => each.path === path)
  const body = unused
  return (await route?.handle({ headers: {}, search: new URLSearchParams(), body }))?.status
}

await test('the mixer is ready while reports can be applied', async t => {
  const full: LedgerUnavailable = { kind: 'unavailable', detail: 'disk full' }
  t.equal(await status('/readyz', {}), 200)
  t.equal(await status('/readyz', { ledger: full }), 503)
  t.equal(await status('/readyz', { draining: true }), 503)
})

await test('the mixer lives while its process answers', async t => {
  const full: LedgerUnavailable = { kind: 'unavailable', detail: 'disk full' }
  t.equal(await status('/livez', { ledger: full, draining: true }), 200)
})
