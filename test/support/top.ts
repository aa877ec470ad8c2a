/** Answers of `GET /top` as tests make them up. */
import type { Top, TopTenant } from '../../src/contracts/top.ts'

export function topTenant(tenant: string, changes: Partial<TopTenant> = {}): TopTenant {
  return {
    tenant,
    calls: 0,
    errors: 0,
    ingress: 0,
    egress: 0,
    limited: 0,
    meanMs: 0,
    connections: 0,
    endpoints: null,
    closest: null,
    ...changes,
  }
}

export function topAnswer(top: readonly TopTenant[], changes: Partial<Top> = {}): Top {
  const { tenant: _, endpoints: _e, closest: _c, ...totals } = topTenant('')
  return {
    service: 'orders',
    phase: 'ready',
    workers: { ready: 2, count: 2 },
    seconds: 7.5,
    tenants: { configured: 100_000, active: top.length, matching: top.length },
    totals,
    top: [...top],
    ...changes,
  }
}
