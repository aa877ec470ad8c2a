/** The tenants with which a worker begins. */
import type { ConfigStore } from '../../config/config-store.ts'
import type { TenantChange } from '../ipc.ts'
import { FIRST_GENERATION } from './reloader.ts'

export interface TenantsToBegin {
  /** How many it has already, see `TenantsAhead`: all of them, or none that count. */
  readonly ahead: number
  /** All others, as a change of those. */
  readonly tenants: TenantChange
}

/** Of a worker that got so many `given` while they were read at the start: since then there may be others. */
export function tenantsToBegin(
  store: ConfigStore,
  generation: number,
  given: number,
): TenantsToBegin {
  const ahead = generation === FIRST_GENERATION && given === store.size ? given : 0
  const changed = ahead > 0 ? [] : [...store.texts()]
  return { ahead, tenants: { generation, limits: store.config.limits, changed, removed: [] } }
}
