/** Makes of a tenant as it was read the tenant as it is in force, against one service. */
import type { Draft, Verdicts } from './draft.ts'
import { resolveTenantPaths } from './paths.ts'
import { effectiveQuotas } from './quota-schema.ts'
import type { FileFaults } from './rules-files.ts'
import { TenantRules } from './rules-tenants.ts'
import type { TenantConfig } from './schema.ts'
import type { IssueReporter } from './schema-messages.ts'
import { TenantEntry } from './tenant-entry.ts'
import type { Origin, RawTenant, Taken } from './tenant-part.ts'
import { tenantSchema } from './tenant-schema.ts'
import { encodeTenant } from './tenant-text.ts'

/** Where what is wrong with tenants is told, for one time of reading. */
export interface Findings {
  /** Of the form of tenants. */
  readonly reporter: IssueReporter
  /** Of the rules. */
  readonly verdicts: Verdicts
  readonly files: FileFaults
}

export class TenantCheck {
  readonly rules: TenantRules
  readonly #quotas: NonNullable<Draft['quotas']>

  constructor(draft: Draft) {
    this.rules = new TenantRules(draft)
    this.#quotas = draft.quotas ?? []
  }

  /**
   * Checks form and rules of a tenant by itself; `undefined` where its form is wrong. In what it gives paths are absolute,
   * and quotas are all that hold, so that nobody behind the loader puts them together.
   */
  take(raw: RawTenant, origin: Origin, { reporter, verdicts, files }: Findings): Taken | undefined {
    const { input, place } = raw
    const result = tenantSchema.safeParse(input)
    if (!result.success) {
      const { issues } = result.error
      reporter.report(issues, { source: raw.yaml, path: place.path, input, kind: 'tenant' })
      return undefined
    }
    const tenant = result.data
    this.rules.check({ value: tenant, place }, files, verdicts)
    resolveTenantPaths(tenant, place.source.directory)
    const config = this.#withQuotas(tenant)
    return { entry: new TenantEntry(config.id, encodeTenant(config), origin), config }
  }

  #withQuotas(tenant: TenantConfig): TenantConfig {
    if (this.#quotas.length === 0) return tenant
    return { ...tenant, quotas: effectiveQuotas(this.#quotas, tenant.quotas) }
  }
}
