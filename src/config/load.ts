/**
 * Loads a configuration: files → values → `Config`, with everything that is wrong found in one go. It never throws on
 * bad input, keeps nothing between two calls and changes nothing, so that a reload is one more call.
 */
import type { z } from 'zod'
import { ClaimsIndex } from './claims-index.ts'
import { type Draft, type Located, type Verdicts, verdictsOf } from './draft.ts'
import { listenerSchema } from './listener-schema.ts'
import { resolvePaths, resolveTenantPaths } from './paths.ts'
import { formatProblem, type Place, type Problem, ProblemList } from './problem.ts'
import { effectiveQuotas } from './quota-schema.ts'
import { checkService } from './rules.ts'
import { FileFaults } from './rules-files.ts'
import { TenantRules } from './rules-tenants.ts'
import { type Config, configSchema, type ListenerConfig, type TenantConfig } from './schema.ts'
import { IssueReporter } from './schema-messages.ts'
import { tenantSchema } from './tenant-schema.ts'
import { type RawTenant, readTenantSources, readYamlFile } from './tenant-sources.ts'
import type { YamlSource } from './yaml-source.ts'

/** What callers of the loader need with it. */
export { formatProblem, type Problem } from './problem.ts'

export const MAX_CONFIG_BYTES = 1024 * 1024

export interface LoadOptions {
  /** For `${NAME}`. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/**
 * `config` is frozen, with the tenants of all sources in `tenants`, each with the quotas of the service among its own;
 * warnings have the form of `formatProblem`.
 */
export type LoadResult =
  | { readonly config: Config; readonly warnings: readonly string[] }
  | { readonly problems: readonly Problem[] }

/** The configuration in `path`, or all that is wrong with it. */
export function loadConfig(path: string, options: LoadOptions): LoadResult {
  const problems = new ProblemList()
  const warnings = new ProblemList()
  const main = readYamlFile(path, { maxBytes: MAX_CONFIG_BYTES, env: options.env, problems })
  if (!main) return { problems: problems.list() }

  const reporter = new IssueReporter(problems)
  const { config, ...draft } = checkSections(main, reporter)
  const tenants: Located<TenantConfig>[] = []
  const read = (raw: RawTenant): void => {
    const tenant = checkTenant(raw, reporter)
    if (tenant) tenants.push(tenant)
  }
  inlineTenants(main).forEach(read)
  const context = { main, env: options.env, problems }
  for (const raw of readTenantSources(draft.tenantSources ?? [], context)) read(raw)
  checkRules(draft, tenants, verdictsOf(problems, warnings))
  if (!problems.empty || !config) return { problems: problems.list() }
  resolvePaths(config, main.directory)
  for (const { value, place } of tenants) resolveTenantPaths(value, place.source.directory)
  const complete = { ...config, tenants: tenants.map(({ value }) => withQuotas(value, config)) }
  return { config: deepFreeze(complete), warnings: warnings.list().map(formatProblem) }
}

function checkRules(
  draft: Draft,
  tenants: readonly Located<TenantConfig>[],
  verdicts: Verdicts,
): void {
  const rules = new TenantRules(draft)
  const files = new FileFaults()
  const claims = new ClaimsIndex({
    references: tenant => rules.references(tenant),
    isBefore: () => true,
  })
  for (const { value, place } of tenants) {
    const owner = { id: value.id, config: () => value, place: () => place }
    claims.add(owner, value, verdicts)
    rules.check({ value, place }, files, verdicts)
  }
  claims.settle(verdicts)
  checkService(draft, claims, verdicts)
}

/** A tenant as it is in force. Its quotas are all that hold for it, so that nobody behind the loader puts them together. */
function withQuotas(tenant: TenantConfig, { quotas }: Config): TenantConfig {
  return quotas.length === 0
    ? tenant
    : { ...tenant, quotas: effectiveQuotas(quotas, tenant.quotas) }
}

/** Checks the form of all but the tenants. Sections are valid or not one by one, so that rules can go on without. */
function checkSections(
  main: YamlSource,
  reporter: IssueReporter,
): Draft & { config: Config | undefined } {
  const root: Place = { source: main, path: [] }
  // Tenants are checked one by one, as those of other files are; what is no list is left for the schema to refuse.
  const { tenants, ...others } = isMap(main.value) ? main.value : {}
  const input = isMap(main.value)
    ? { ...others, ...(tenants === undefined || Array.isArray(tenants) ? {} : { tenants }) }
    : main.value
  const result = configSchema.safeParse(input)
  if (!result.success) {
    reporter.report(result.error.issues, { source: () => main, path: [], input, kind: 'config' })
  }
  const { shape } = configSchema
  return {
    root,
    config: result.data,
    service: section(shape.service, others.service),
    listeners: validListeners(others.listeners, root),
    authentication: section(shape.authentication, others.authentication),
    trustedProxies: section(shape.trustedProxies, others.trustedProxies),
    tenantSources: section(shape.tenantSources, others.tenantSources),
    mixer: section(shape.mixer, others.mixer),
    ledger: section(shape.ledger, others.ledger),
    ledgerRetention: section(shape.ledgerRetention, others.ledgerRetention),
    quotas: section(shape.quotas, others.quotas),
    exports: section(shape.exports, others.exports),
    http1: section(shape.http1, others.http1),
    admin: section(shape.admin, others.admin),
  }
}

function section<T>(schema: z.ZodType<T>, input: unknown): T | undefined {
  return schema.safeParse(input).data
}

function validListeners(input: unknown, root: Place): Located<ListenerConfig>[] {
  if (!Array.isArray(input)) return []
  return input.flatMap((each: unknown, index) => {
    const { data } = listenerSchema.safeParse(each)
    return data ? { value: data, place: { ...root, path: ['listeners', index] } } : []
  })
}

function inlineTenants(main: YamlSource): RawTenant[] {
  const tenants: unknown = isMap(main.value) ? main.value.tenants : undefined
  if (!Array.isArray(tenants)) return []
  return tenants.map((input: unknown, index) => ({
    input,
    place: { source: main, path: ['tenants', index] },
    yaml: () => main,
  }))
}

function checkTenant(raw: RawTenant, reporter: IssueReporter): Located<TenantConfig> | undefined {
  const { input, place } = raw
  const result = tenantSchema.safeParse(input)
  if (result.success) return { value: result.data, place }
  const { issues } = result.error
  reporter.report(issues, { source: raw.yaml, path: place.path, input, kind: 'tenant' })
  return undefined
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const child of Object.values(value)) deepFreeze(child)
  return Object.freeze(value)
}
