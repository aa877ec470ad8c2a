/** A configuration in memory: the main file, where its tenants come from, and what belongs to whom. */
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { ClaimsIndex } from './claims-index.ts'
import type { Env } from './dependencies.ts'
import { Findings } from './findings.ts'
import { InlineTenants } from './inline-tenants.ts'
import { type MainFile, readMainFile } from './main-file.ts'
import { type Place, type Problem, placeIn } from './problem.ts'
import { checkService } from './rules.ts'
import type { Config, TenantConfig } from './schema.ts'
import { TenantCheck } from './tenant-check.ts'
import type { TenantEntry } from './tenant-entry.ts'
import { TenantFiles } from './tenant-files.ts'
import { TenantLines } from './tenant-lines.ts'
import {
  MAX_TENANTS,
  type Origin,
  orUndo,
  type PartChange,
  type Reading,
  type Scope,
  type SourceOptions,
  type SourcePart,
} from './tenant-part.ts'

export interface TenantSource {
  readonly options: SourceOptions
  readonly part: SourcePart
}

export interface ConfigState {
  readonly env: Env
  main: MainFile
  /** That of the main file. */
  config: Config
  check: TenantCheck
  readonly inline: InlineTenants
  readonly sources: readonly TenantSource[]
  readonly claims: ClaimsIndex<TenantEntry>
}

export type OnTenant = (tenant: TenantConfig, text: string) => void

export type StateResult =
  | { readonly state: ConfigState; readonly warnings: readonly string[] }
  | { readonly problems: readonly Problem[] }

/** Reads all of a configuration. `onTenant` gets each tenant as it is in force, and its text, in the order of the configuration. */
export function readState(path: string, env: Env, onTenant: OnTenant): StateResult {
  const findings = new Findings()
  const main = readMainFile(path, env, findings)
  if (main === undefined) return { problems: findings.list() }
  const inline = new InlineTenants(main.source)
  const sources = sourcesOf(main)
  const check = new TenantCheck(main.draft)
  const claims = new ClaimsIndex<TenantEntry>({
    // What it was made with: another service makes another state.
    references: tenant => check.rules.references(tenant),
    isBefore: inOrder([inline, ...sources.map(({ part }) => part)]),
  })
  const { problems, verdicts } = findings
  const reading: Reading = {
    env,
    problems,
    take: (raw, origin) => check.take(raw, origin, findings),
    hasRoom: place => {
      if (claims.size < MAX_TENANTS) return true
      problems.add(place, TOO_MANY)
      return false
    },
    // At once, and not when all are read: a tenant as an object is gone with the next one.
    admit: ({ entry, config }) => {
      claims.add(entry, config, verdicts)
      onTenant(config, entry.text)
    },
  }
  inline.read('all', reading)
  for (const { part } of sources) part.read('all', reading)
  claims.settle(verdicts)
  checkService(main.draft, claims, verdicts)
  const { config } = main
  if (!findings.empty || config === undefined) return { problems: findings.list() }
  const state = { env, main, config, check, inline, sources, claims }
  return { state, warnings: findings.warnings() }
}

export const TOO_MANY = `there are more than ${MAX_TENANTS} tenants`

/** Reads the parts again that `scopeOf` says something of. Where something is wrong the memory of each is as it was. */
export function readAgain(
  { env, check, sources }: ConfigState,
  scopeOf: (path: string) => Scope | undefined,
  findings: Findings,
): PartChange[] {
  const changes: PartChange[] = []
  const reading = readingAgain(env, check, findings)
  for (const { part, options } of sources) {
    const scope = scopeOf(options.path)
    if (scope === undefined) continue
    const change = orUndo(
      () => part.read(scope, reading),
      () => changes.toReversed().forEach(each => each.undo()),
    )
    if (change !== undefined) changes.push(change)
  }
  return changes
}

/** For what is only taken in once all is read: what it takes the place of must have gone by then. */
export function readingAgain(env: Env, check: TenantCheck, findings: Findings): Reading {
  let room = MAX_TENANTS
  return {
    env,
    problems: findings.problems,
    take: (raw, origin) => check.take(raw, origin, findings),
    hasRoom: place => {
      if (room > 0) return true
      findings.problems.add(place, TOO_MANY)
      return false
    },
    admit: () => {
      room -= 1
    },
  }
}

/** Where the sources stand in `main`, which may have been written anew. */
export function sourcePlace(main: MainFile, index: number): Place {
  const place = { source: main.source, path: ['tenantSources', index] }
  const source = main.draft.tenantSources?.[index] ?? {}
  return placeIn(place, 'directory' in source ? 'directory' : 'file')
}

function sourcesOf(main: MainFile): TenantSource[] {
  return (main.draft.tenantSources ?? []).map((source, index) => {
    const named = 'directory' in source ? source.directory : source.file
    const options = {
      path: resolve(main.source.directory, named),
      // As the user would name it: relative if the main file was named so.
      shown: isAbsolute(named) ? named : join(dirname(main.source.file), named),
      place: sourcePlace(main, index),
    }
    return {
      options,
      part: 'directory' in source ? new TenantFiles(options) : new TenantLines(options),
    }
  })
}

function inOrder(parts: readonly Origin[]): (one: TenantEntry, other: TenantEntry) => boolean {
  const order = new Map(parts.map((part, index) => [part, index]))
  return (one, other) => {
    if (one.origin === other.origin) return one.origin.isBefore(one, other)
    return (order.get(one.origin) ?? 0) < (order.get(other.origin) ?? 0)
  }
}
