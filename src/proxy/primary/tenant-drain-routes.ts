/** `POST` and `DELETE /tenants/ID/drain`. */
import type { Config } from '../../config/schema.ts'
import { parseDuration } from '../../core/units.ts'
import { json, problemAnswer } from './admin-answers.ts'
import type { AdminAnswer, AdminRoute } from './admin-routing.ts'
import type { TenantDrainDesk } from './tenant-drain-desk.ts'
import type { TenantView } from './tenant-view.ts'

/** Longer than any connection that somebody waits for. */
const LONGEST_MS = 24 * 3_600_000
const BAD_TIME = 'within must be a duration from 0s to 24h, such as 30s'

export interface TenantDrainSources {
  readonly config: () => Config
  readonly tenants: Pick<TenantView, 'tenant'>
  readonly drains: TenantDrainDesk
}

export function tenantDrainRoutes(sources: TenantDrainSources): AdminRoute[] {
  const path = '/tenants/:id/drain'
  return [
    { method: 'POST', path, answer: ({ id, query }) => drain(sources, id, query.get('within')) },
    { method: 'DELETE', path, answer: ({ id }) => resume(sources, id) },
  ]
}

function drain(
  { config, tenants, drains }: TenantDrainSources,
  id: string,
  within: string | null,
): AdminAnswer {
  if (tenants.tenant(id) === undefined) return noTenant()
  const asked = within === null ? undefined : parseDuration(within)
  if (within !== null && (asked === undefined || asked > LONGEST_MS))
    return problemAnswer('malformed_message', BAD_TIME)
  const { timeouts, drain: times } = config()
  const callsMs = asked ?? timeouts.drain
  drains.drain(id, callsMs, asked ?? times.tunnels ?? timeouts.drain)
  return json(202, { tenant: id, drain: drains.stateOf(id) })
}

function resume({ tenants, drains }: TenantDrainSources, id: string): AdminAnswer {
  if (tenants.tenant(id) === undefined) return noTenant()
  drains.resume(id)
  return json(200, { tenant: id, drain: null })
}

function noTenant(): AdminAnswer {
  return problemAnswer('not_found', 'no tenant has this id')
}
