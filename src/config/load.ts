/** Loads a configuration in one call: files → values → `Config`, with everything that is wrong found in one go. */
import { type LoadOptions, openConfig } from './config-store.ts'
import { deepFreeze } from './main-file.ts'
import type { Problem } from './problem.ts'
import type { Config, TenantConfig } from './schema.ts'

/** What callers of the loader need with it. */
export { formatProblem, type Problem } from './problem.ts'

/**
 * `config` is frozen, with the tenants of all sources in `tenants`, each with the quotas of the service among its own;
 * warnings have the form of `formatProblem`.
 */
export type LoadResult =
  | { readonly config: Config; readonly warnings: readonly string[] }
  | { readonly problems: readonly Problem[] }

/** The configuration in `path`, or all that is wrong with it. It never throws on bad input and keeps nothing. */
export function loadConfig(path: string, options: LoadOptions): LoadResult {
  const tenants: TenantConfig[] = []
  const opened = openConfig(path, { ...options, onTenant: tenant => tenants.push(tenant) })
  if ('problems' in opened) return opened
  const { store, warnings } = opened
  return { config: deepFreeze({ ...store.config, tenants }), warnings }
}
