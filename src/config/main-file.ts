/** The main file: everything of a configuration but the tenants that other files hold. */
import { resolve } from 'node:path'
import type { z } from 'zod'
import { Dependencies, type Env } from './dependencies.ts'
import type { Draft, Located } from './draft.ts'
import { fileStamp } from './file-stamp.ts'
import { listenerSchema } from './listener-schema.ts'
import { resolvePaths } from './paths.ts'
import type { Place, ProblemList } from './problem.ts'
import { type Config, configSchema, type ListenerConfig } from './schema.ts'
import type { IssueReporter } from './schema-messages.ts'
import { readYamlFile, type YamlSource } from './yaml-source.ts'

export const MAX_CONFIG_BYTES = 1024 * 1024

export interface MainFile {
  readonly source: YamlSource
  readonly draft: Draft
  /** Frozen, with absolute paths, and without tenants; undefined where something in it is wrong. */
  readonly config: Config | undefined
  readonly stamp: string | undefined
  readonly dependencies: Dependencies
}

/** Whether the file, and what it took from elsewhere, is as it was when it was read. */
export function isCurrent({ source, stamp, dependencies }: MainFile, env: Env): boolean {
  return stamp !== undefined && fileStamp(resolve(source.file)) === stamp && dependencies.hold(env)
}

/** `undefined` if it cannot be read; what is wrong with it or in it is among the problems. */
export function readMainFile(
  path: string,
  env: Env,
  { problems, reporter }: { problems: ProblemList; reporter: IssueReporter },
): MainFile | undefined {
  const stamp = fileStamp(resolve(path))
  const dependencies = new Dependencies()
  const options = { maxBytes: MAX_CONFIG_BYTES, env, problems, dependencies }
  const source = readYamlFile(path, options)
  if (source === undefined) return undefined
  const { config, draft } = checkSections(source, reporter)
  if (config !== undefined) resolvePaths(config, source.directory)
  return { source, draft, config: deepFreeze(config), stamp, dependencies }
}

/** Checks the form of all but the tenants. Sections are valid or not one by one, so that rules can go on without. */
function checkSections(
  main: YamlSource,
  reporter: IssueReporter,
): { readonly config: Config | undefined; readonly draft: Draft } {
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
  const draft = {
    root,
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
    http2: section(shape.http2, others.http2),
    overload: section(shape.overload, others.overload),
    admin: section(shape.admin, others.admin),
  }
  return { config: result.data, draft }
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

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const child of Object.values(value)) deepFreeze(child)
  return Object.freeze(value)
}
