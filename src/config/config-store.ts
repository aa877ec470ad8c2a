/**
 * The configuration of a running proxy, with the memory that makes a change cheap: of 100,000 tenants the one that
 * changed is read and checked, and the others are not looked at. What is found is what loading everything would find.
 */
import { isDeepStrictEqual } from 'node:util'
import {
  type ConfigState,
  type OnTenant,
  readAgain,
  readingAgain,
  readState,
  sourcePlace,
  TOO_MANY,
} from './config-state.ts'
import type { Env } from './dependencies.ts'
import { verdictsOf } from './draft.ts'
import { isRegularFile } from './files.ts'
import { Findings } from './findings.ts'
import { isCurrent, type MainFile, readMainFile } from './main-file.ts'
import { type Problem, ProblemList, type Source } from './problem.ts'
import { checkService } from './rules.ts'
import type { Config, TenantConfig } from './schema.ts'
import { TenantCheck } from './tenant-check.ts'
import type { TenantEntry } from './tenant-entry.ts'
import { MAX_TENANTS, orUndo, type PartChange } from './tenant-part.ts'
import { Touched } from './touched.ts'

export interface LoadOptions {
  /** For `${NAME}`. */
  readonly env: Env
}

/** What is different between two configurations; what it does not name is the same in both. */
export interface TenantDifference {
  /** New and changed tenants, each as `encodeTenant` writes it. */
  readonly changed: readonly string[]
  /** Ids of tenants that there are no longer. */
  readonly removed: readonly string[]
}

/** A configuration that has taken the place of another. */
export interface ConfigChange {
  /** Both without tenants. */
  readonly former: Config
  readonly config: Config
  readonly tenants: TenantDifference
  /** The main file, with places of its values. */
  readonly source: Source
  /** Of what is new; in the form of `formatProblem`. */
  readonly warnings: readonly string[]
  /** Puts the former one back, as long as nothing was read since; gives what is then different again. */
  undo(): TenantDifference
}

export type ConfigChangeResult = ConfigChange | { readonly problems: readonly Problem[] }

export type OpenResult =
  | { readonly store: ConfigStore; readonly warnings: readonly string[] }
  | { readonly problems: readonly Problem[] }

/** Reads the configuration in `path`, or all that is wrong with it. Never throws on bad input. */
export function openConfig(
  path: string,
  { env, onTenant = () => {} }: LoadOptions & { onTenant?: OnTenant | undefined },
): OpenResult {
  const read = readState(path, env, onTenant)
  return 'problems' in read
    ? read
    : { store: new ConfigStore(path, read.state), warnings: read.warnings }
}

/**
 * What the main file in `path` says, where it is valid by itself; tenants are not looked at, and nothing is reported. Nothing
 * of what can be read only once, such as a pipe.
 */
export function peekConfig(path: string, { env }: LoadOptions): Config | undefined {
  if (!isRegularFile(path)) return undefined
  return readMainFile(path, env, new Findings())?.config
}

export class ConfigStore {
  readonly #path: string
  #state: ConfigState
  /** What has changed and is not in force, because something was wrong with it or with what changed together with it. */
  #waiting = new Touched()

  constructor(path: string, state: ConfigState) {
    this.#path = path
    this.#state = state
  }

  /** In force; frozen, and without tenants. */
  get config(): Config {
    return this.#state.config
  }

  /** How many tenants there are. */
  get size(): number {
    return this.#state.claims.size
  }

  tenant(id: string): TenantConfig | undefined {
    return this.#state.claims.owner(id)?.config()
  }

  /** As `encodeTenant` writes it. */
  text(id: string): string | undefined {
    return this.#state.claims.owner(id)?.text
  }

  *ids(): Generator<string> {
    for (const { id } of this.#state.claims.owners()) yield id
  }

  /** All tenants, each as `encodeTenant` writes it. */
  *texts(): Generator<string> {
    for (const { text } of this.#state.claims.owners()) yield text
  }

  /** Paths of the tenant sources that are not as they were when they were read. */
  outdated(): string[] {
    const { env, sources } = this.#state
    return sources.filter(({ part }) => !part.isAsRead(env)).map(({ options }) => options.path)
  }

  /**
   * Reads again and, unless something is wrong, puts it in force. With `touched` only these tenant sources are looked at,
   * and what waits from before; without it all sources and the main file, but only what has changed is read.
   */
  reload(touched?: Touched): ConfigChangeResult {
    if (touched === undefined) this.#waiting.addAll()
    else this.#waiting.merge(touched)
    const taken = this.#waiting
    const change =
      touched === undefined && !isCurrent(this.#state.main, this.#state.env)
        ? this.#readMain()
        : this.#readSources(taken)
    if ('problems' in change) return change
    this.#waiting = new Touched()
    return {
      ...change,
      undo: () => {
        this.#waiting.merge(taken)
        return change.undo()
      },
    }
  }

  #readSources(touched: Touched): ConfigChangeResult {
    const findings = new Findings()
    const state = this.#state
    const parts = readAgain(state, path => touched.scopeOf(path), findings)
    const tenants = takeIn(state, parts, findings)
    if (tenants === undefined) return { problems: findings.list() }
    const { config } = state
    return {
      former: config,
      config,
      tenants: differenceOf(tenants),
      source: state.main.source,
      warnings: findings.warnings(),
      undo: () => takeOut(state, parts),
    }
  }

  #readMain(): ConfigChangeResult {
    const findings = new Findings()
    const { env, config: former } = this.#state
    const main = readMainFile(this.#path, env, findings)
    if (main?.config === undefined) return this.#readAll()
    const { config } = main
    return sameService(former, config)
      ? this.#readInline({ ...main, config }, findings)
      : this.#readAll()
  }

  /** The main file is another, but what tenants are checked against is the same. */
  #readInline(
    main: MainFile & { readonly config: Config },
    findings: Findings,
  ): ConfigChangeResult {
    const state = this.#state
    const { main: formerMain, config: former, check: formerCheck } = state
    const use = (next: MainFile, config: Config, check: TenantCheck): void => {
      Object.assign(state, { main: next, config, check })
      state.inline.replace(next.source)
      for (const [index, { options }] of state.sources.entries())
        options.place = sourcePlace(next, index)
    }
    use(main, main.config, new TenantCheck(main.draft))
    const inline = state.inline.read('all', readingAgain(state.env, state.check, findings))
    const sources = orUndo(
      () => readAgain(state, () => 'all', findings),
      () => {
        inline.undo()
        use(formerMain, former, formerCheck)
      },
    )
    const parts = [inline, ...sources]
    const tenants = takeIn(state, parts, findings, () =>
      checkService(main.draft, state.claims, findings.verdicts),
    )
    if (tenants === undefined) {
      use(formerMain, former, formerCheck)
      return { problems: findings.list() }
    }
    return {
      former,
      config: main.config,
      tenants: differenceOf(tenants),
      source: main.source,
      warnings: findings.warnings(),
      undo: () => {
        const difference = takeOut(state, parts)
        use(formerMain, former, formerCheck)
        return difference
      },
    }
  }

  #readAll(): ConfigChangeResult {
    const former = this.#state
    const read = readState(this.#path, former.env, () => {})
    if ('problems' in read) return read
    const { state, warnings } = read
    this.#state = state
    return {
      former: former.config,
      config: state.config,
      tenants: differenceBetween(former, state),
      source: state.main.source,
      warnings,
      undo: () => {
        this.#state = former
        return differenceBetween(state, former)
      },
    }
  }
}

/** Whether tenants that are valid for the one are so for the other. */
function sameService(one: Config, other: Config): boolean {
  return isDeepStrictEqual(serviceOf(one), serviceOf(other))
}

/** All that tenants are checked against. */
function serviceOf({ listeners, ...config }: Config): object {
  const bound = listeners.map(({ tls, ...listener }) => ({ ...listener, tls: tls !== undefined }))
  return { ...config, listeners: bound, limits: undefined }
}

interface Exchange {
  readonly removed: readonly TenantEntry[]
  readonly added: readonly TenantEntry[]
}

/** `undefined` where something is wrong with what is new; then everything is as it was. */
function takeIn(
  { claims, sources }: ConfigState,
  parts: readonly PartChange[],
  findings: Findings,
  check: () => void = () => {},
): Exchange | undefined {
  const exchange = exchangeOf(parts)
  const { removed, added } = exchange
  // Also where something is wrong by itself, so that everything is told in one go.
  claims.remove(removed)
  for (const entry of added) claims.add(entry, entry.config(), findings.verdicts)
  claims.settle(findings.verdicts)
  const place = sources[0]?.options.place
  if (claims.size > MAX_TENANTS && place) findings.verdicts.problem(place, TOO_MANY)
  check()
  if (findings.empty) return exchange
  exchangeClaims(claims, { removed: added, added: removed })
  for (const part of parts.toReversed()) part.undo()
  return undefined
}

function takeOut({ claims }: ConfigState, parts: readonly PartChange[]): TenantDifference {
  const { removed, added } = exchangeOf(parts)
  exchangeClaims(claims, { removed: added, added: removed })
  for (const part of parts.toReversed()) part.undo()
  return differenceOf({ removed: added, added: removed })
}

/** Of what was in force before, so that nothing can be wrong with it. */
function exchangeClaims(claims: ConfigState['claims'], { removed, added }: Exchange): void {
  const silent = verdictsOf(new ProblemList(), new ProblemList())
  claims.remove(removed)
  for (const entry of added) claims.add(entry, entry.config(), silent)
  claims.settle(silent)
}

function exchangeOf(parts: readonly PartChange[]): Exchange {
  return {
    removed: parts.flatMap(({ removed }) => removed),
    added: parts.flatMap(({ added }) => added),
  }
}

function differenceOf({ removed, added }: Exchange): TenantDifference {
  const former = new Map(removed.map(({ id, text }) => [id, text]))
  const changed: string[] = []
  for (const { id, text } of added) {
    if (former.get(id) !== text) changed.push(text)
    former.delete(id)
  }
  return { changed, removed: [...former.keys()] }
}

function differenceBetween(former: ConfigState, next: ConfigState): TenantDifference {
  const [before, after] = [former.claims, next.claims]
  const changed: string[] = []
  for (const { id, text } of after.owners()) if (before.owner(id)?.text !== text) changed.push(text)
  const removed: string[] = []
  for (const { id } of before.owners()) if (after.owner(id) === undefined) removed.push(id)
  return { changed, removed }
}
