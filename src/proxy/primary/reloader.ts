/**
 * Reloading: reads the configuration again and brings tenants, limits and quotas to the workers. All or nothing: a
 * configuration that is wrong, that changes more than may change while running, or that a worker cannot apply leaves the old
 * one in force.
 */
import { isDeepStrictEqual } from 'node:util'
import { formatProblem, type LoadResult } from '../../config/load.ts'
import type { Config } from '../../config/schema.ts'
import type { Logger } from '../../runtime/logger.ts'

/** Keys that workers take while they run; everything else needs a restart. */
const RELOADABLE: ReadonlySet<string> = new Set(['tenants', 'limits', 'quotas'])
const MAX_CHANGED_KEYS = 20
/** Of TLS all can change, but not whether there is any: that is another kind of listener. */
const RELOADABLE_PATH = /^listeners\[\d+\]\.tls\./

export interface ReloaderOptions {
  /** The configuration of the start; it is generation 1. */
  readonly config: Config
  readonly load: () => LoadResult
  /** Brings `config` to the workers; resolves with what any of them could not do. */
  readonly apply: (config: Config, generation: number) => Promise<readonly string[]>
  readonly logger: Logger
  /** A reload was refused. */
  readonly onRefused: () => void
  /** What the configuration names beside itself, such as certificates. */
  readonly files?: {
    /** Returns what of it cannot be used. */
    readonly check: (config: Config) => readonly string[]
    /** What was checked last is in force. */
    readonly settle: () => void
  }
  /** What is in force from now on. */
  readonly onChange: (config: Config, generation: number) => void
}

export type ReloadResult =
  | { readonly ok: true; readonly generation: number; readonly changed: boolean }
  | { readonly ok: false; readonly generation: number; readonly problems: readonly string[] }

export class Reloader {
  readonly #options: ReloaderOptions
  #config: Config
  #generation = 1
  #last: Promise<unknown> = Promise.resolve()
  #waiting: Promise<ReloadResult> | undefined

  constructor(options: ReloaderOptions) {
    this.#options = options
    this.#config = options.config
  }

  /** In force now; while a reload is under way already the new one, so that a worker born then gets it. */
  get config(): Config {
    return this.#config
  }

  get generation(): number {
    return this.#generation
  }

  /** One at a time. Requests that arrive while one waits for its turn are the same request. Never rejects. */
  async reload(cause: string): Promise<ReloadResult> {
    this.#waiting ??= this.#last.then(() => {
      this.#waiting = undefined
      return this.#reload(cause)
    })
    this.#last = this.#waiting
    return this.#waiting
  }

  async #reload(cause: string): Promise<ReloadResult> {
    const loaded = this.#load()
    if ('problems' in loaded) return this.#refuse(cause, loaded.problems)
    const former = this.#config
    const fixed = changedKeys(former, loaded.config)
    if (fixed.length > 0) {
      return this.#refuse(cause, [
        `only tenants, limits, quotas and TLS of listeners can change without a restart; changed: ${fixed.join(', ')}`,
      ])
    }
    // Whoever watches them tells of files; a change of the tenants reads none of them.
    const unusable = cause === 'watch' ? [] : (this.#options.files?.check(loaded.config) ?? [])
    if (unusable.length > 0) return this.#refuse(cause, unusable)
    const changed = !isDeepStrictEqual(former, loaded.config)
    if (!changed && cause === 'watch') return { ok: true, generation: this.#generation, changed }
    const problems = await this.#enforce(loaded.config)
    if (problems.length > 0) {
      const remaining = await this.#enforce(former)
      if (remaining.length > 0)
        this.#options.logger.error(
          { problems: remaining },
          'the former configuration cannot be restored',
        )
      return this.#refuse(cause, problems)
    }
    this.#options.files?.settle()
    for (const warning of loaded.warnings)
      this.#options.logger.warn({ warning }, 'configuration warning')
    this.#options.logger.info(
      { cause, generation: this.#generation, tenants: loaded.config.tenants.length, changed },
      'configuration reloaded',
    )
    return { ok: true, generation: this.#generation, changed }
  }

  #load():
    | { readonly config: Config; readonly warnings: readonly string[] }
    | { readonly problems: readonly string[] } {
    try {
      const loaded = this.#options.load()
      return 'problems' in loaded ? { problems: loaded.problems.map(formatProblem) } : loaded
    } catch (error) {
      return { problems: [`the configuration cannot be loaded: ${String(error)}`] }
    }
  }

  async #enforce(config: Config): Promise<readonly string[]> {
    this.#generation += 1
    this.#config = config
    const problems = await this.#options.apply(config, this.#generation)
    this.#options.onChange(config, this.#generation)
    return problems
  }

  #refuse(cause: string, problems: readonly string[]): ReloadResult {
    this.#options.onRefused()
    const { logger } = this.#options
    for (const problem of problems)
      logger.error({ cause, problem }, 'configuration refused; the old one stays in force')
    return { ok: false, generation: this.#generation, problems }
  }
}

/** Paths of the values that differ and cannot change while the proxy runs, such as `listeners[0].address`. */
export function changedKeys(former: Config, next: Config): string[] {
  const changed: string[] = []
  for (const key of Object.keys({ ...former, ...next })) {
    if (!RELOADABLE.has(key)) collect(changed, key, [valueAt(former, key), valueAt(next, key)])
  }
  return changed
}

function collect(
  changed: string[],
  path: string,
  [former, next]: readonly [unknown, unknown],
): void {
  if (changed.length >= MAX_CHANGED_KEYS || isDeepStrictEqual(former, next)) return
  if (RELOADABLE_PATH.test(path)) return
  const bothLists = Array.isArray(former) && Array.isArray(next) && former.length === next.length
  const bothMaps = isMap(former) && isMap(next)
  if (!bothLists && !bothMaps) {
    changed.push(path)
    return
  }
  for (const key of Object.keys({ ...former, ...next })) {
    const step = bothLists ? `${path}[${key}]` : `${path}.${key}`
    collect(changed, step, [valueAt(former, key), valueAt(next, key)])
  }
}

function isMap(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function valueAt(holder: object, key: string): unknown {
  return (holder as Readonly<Record<string, unknown>>)[key]
}
