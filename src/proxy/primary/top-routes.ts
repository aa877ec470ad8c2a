/** `GET /top`: the tenants that do most at this moment. */
import type { Config, TenantConfig } from '../../config/schema.ts'
import {
  MAX_TOP_FILTER,
  TOP_KEYS,
  type Top,
  type TopFigures,
  type TopKey,
  type TopTenant,
} from '../../contracts/top.ts'
import { badPage, json, limitOf, problemAnswer } from './admin-answers.ts'
import type { AdminAnswer, AdminRequest, AdminRoute } from './admin-routing.ts'
import type { LiveState } from './live-state.ts'
import { type Activity, addActivity, noActivity } from './tenant-activity.ts'
import type { TenantView } from './tenant-view.ts'
import { Topmost } from './topmost.ts'

export interface TopSources {
  readonly phase: () => string
  readonly workers: () => { readonly ready: number; readonly count: number }
  /** Without tenants. */
  readonly config: () => Pick<Config, 'service' | 'limits'>
  readonly tenants: Pick<TenantView, 'size' | 'tenant'>
  readonly live: Pick<LiveState, 'activity' | 'connections' | 'endpointsOf'>
}

/** One tenant on its way into the answer. */
interface Row {
  readonly tenant: string
  readonly rates: Readonly<Activity>
  readonly connections: number
}

type Limits = TenantConfig['limits']

const IDLE: Readonly<Activity> = noActivity()

export function topRoutes(sources: TopSources): AdminRoute[] {
  return [{ method: 'GET', path: '/top', answer: request => showTop(sources, request) }]
}

function showTop(sources: TopSources, { query }: AdminRequest): AdminAnswer {
  const limit = limitOf(query)
  if (limit === undefined) return badPage()
  const by = TOP_KEYS.find(key => key === (query.get('by') ?? 'calls'))
  if (by === undefined)
    return problemAnswer('malformed_message', `by must be one of ${TOP_KEYS.join(', ')}`)
  const filter = query.get('filter') ?? ''
  if (filter.length > MAX_TOP_FILTER)
    return problemAnswer(
      'malformed_message',
      `filter must be at most ${MAX_TOP_FILTER} characters that ids contain`,
    )
  return json(200, topOf(sources, { limit, by, filter }))
}

interface TopQuery {
  readonly limit: number
  readonly by: TopKey
  readonly filter: string
}

function topOf(sources: TopSources, { limit, by, filter }: TopQuery): Top {
  const { live, tenants, config, phase, workers } = sources
  const { seconds, byTenant } = live.activity.rates()
  const open = connectionsOf(live)
  const totals = noActivity()
  let connections = 0
  let matching = 0
  const topmost = new Topmost<Row>(limit, comparing(by))
  const take = (tenant: string, rates: Readonly<Activity>): void => {
    if (!tenant.includes(filter)) return
    matching += 1
    topmost.add({ tenant, rates, connections: open.get(tenant) ?? 0 })
  }
  for (const [tenant, rates] of byTenant) {
    addActivity(totals, rates)
    take(tenant, rates)
  }
  let idle = 0
  for (const [tenant, count] of open) {
    connections += count
    if (byTenant.has(tenant)) continue
    idle += 1
    take(tenant, IDLE)
  }
  return {
    service: config().service.name,
    phase: phase(),
    workers: workers(),
    seconds,
    tenants: { configured: tenants.size, active: byTenant.size + idle, matching },
    totals: figuresOf(totals, connections),
    top: topmost.items().map(row => tenantOf(sources, row)),
  }
}

function connectionsOf(live: TopSources['live']): Map<string, number> {
  const open = new Map<string, number>()
  for (const { tenant, active } of live.connections())
    open.set(tenant, (open.get(tenant) ?? 0) + active)
  return open
}

function tenantOf({ live, tenants, config }: TopSources, row: Row): TopTenant {
  const { tenant, rates, connections } = row
  // Undefined for one that was removed while its connections end.
  const limits: Limits = { ...config().limits, ...tenants.tenant(tenant)?.limits }
  return {
    tenant,
    ...figuresOf(rates, connections),
    endpoints: live.endpointsOf(tenant) ?? null,
    closest: closestOf(limits, row),
  }
}

function figuresOf(rates: Readonly<Activity>, connections: number): TopFigures {
  const { calls, errors, ingress, egress, limited } = rates
  return { calls, errors, ingress, egress, limited, meanMs: meanMs(rates), connections }
}

function meanMs({ calls, callMs }: Readonly<Activity>): number {
  return calls === 0 ? 0 : callMs / calls
}

/** Of the limits whose use is known here; null where none is set. */
function closestOf(limits: Limits, { rates, connections }: Row): TopTenant['closest'] {
  const uses: readonly (readonly [limit: string, used: number, most: number | undefined])[] = [
    ['requests', rates.calls, limits.requests],
    ['connections', connections, limits.connections],
    ['ingress', rates.ingress, limits.ingress],
    ['egress', rates.egress, limits.egress],
  ]
  let closest: TopTenant['closest'] = null
  for (const [limit, used, most] of uses) {
    if (most === undefined) continue
    const part = used / most
    if (closest === null || part > closest.part) closest = { limit, part }
  }
  return closest
}

function comparing(by: TopKey): (a: Row, b: Row) => number {
  if (by === 'tenant') return byName
  const key = KEYS[by]
  return (a, b) => key(b) - key(a) || byName(a, b)
}

const KEYS: Readonly<Record<Exclude<TopKey, 'tenant'>, (row: Row) => number>> = {
  calls: ({ rates }) => rates.calls,
  errors: ({ rates }) => rates.errors,
  bytes: ({ rates }) => rates.ingress + rates.egress,
  ingress: ({ rates }) => rates.ingress,
  egress: ({ rates }) => rates.egress,
  limited: ({ rates }) => rates.limited,
  connections: ({ connections }) => connections,
  time: ({ rates }) => meanMs(rates),
}

function byName(a: Row, b: Row): number {
  return a.tenant < b.tenant ? -1 : 1
}
