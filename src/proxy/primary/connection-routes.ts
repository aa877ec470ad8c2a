/** `GET /connections`: how many each tenant has, or those of one tenant. */
import type { ConnectionFacts } from '../forward/routed-connection.ts'
import { badPage, json, limitOf, pageOf } from './admin-answers.ts'
import type { AdminAnswer, AdminRequest, AdminRoute } from './admin-routing.ts'
import type { ConnectionQuestions } from './connection-questions.ts'
import type { LiveState } from './live-state.ts'

export interface ConnectionSources {
  readonly live: Pick<LiveState, 'connections'>
  readonly openConnections: Pick<ConnectionQuestions, 'of'>
}

export function connectionRoutes(sources: ConnectionSources): AdminRoute[] {
  const answer = (request: AdminRequest): AdminAnswer | Promise<AdminAnswer> => {
    const tenant = request.query.get('tenant')
    return tenant === null ? countedByTenant(sources, request) : listed(sources, tenant, request)
  }
  return [{ method: 'GET', path: '/connections', answer }]
}

function countedByTenant({ live }: ConnectionSources, { query }: AdminRequest): AdminAnswer {
  const tenants = new Map<string, Record<string, Record<string, number>>>()
  let total = 0
  for (const { tenant, listener, routability, active } of live.connections()) {
    const listeners = tenants.get(tenant) ?? {}
    const counts = (listeners[listener] ??= {})
    counts[routability] = (counts[routability] ?? 0) + active
    tenants.set(tenant, listeners)
    total += active
  }
  const page = pageOf([...tenants.keys()].toSorted(), query, id => id)
  if (page === undefined) return badPage()
  const shown = page.items.map(tenant => {
    const listeners = tenants.get(tenant) ?? {}
    const counts = Object.values(listeners).flatMap(each => Object.values(each))
    return { tenant, connections: counts.reduce((sum, count) => sum + count, 0), listeners }
  })
  return json(200, { total, tenants: shown, next: page.next })
}

/** Workers are asked for them, so that nobody has to keep a list that nobody reads. */
async function listed(
  { openConnections }: ConnectionSources,
  tenant: string,
  { query }: AdminRequest,
): Promise<AdminAnswer> {
  const limit = limitOf(query)
  if (limit === undefined) return badPage()
  const answers = await openConnections.of(tenant, limit)
  const found: (ConnectionFacts & { readonly worker: number })[] = answers.flatMap(
    ({ worker, list }) => (list?.connections ?? []).map(facts => ({ worker, ...facts })),
  )
  return json(200, {
    tenant,
    connections: found.slice(0, limit),
    more: found.length > limit || answers.some(({ list }) => list?.more === true),
    silentWorkers: answers.flatMap(({ worker, list }) => (list === undefined ? [worker] : [])),
  })
}
