/**
 * Reloading: reads the configuration again and brings tenants, limits and quotas to the workers. All or nothing: a
 * configuration that is wrong, that changes more than may change while running, or that a worker cannot apply leaves the old
 * one in force.
 */
import { isDeepStrictEqual } from 'node:util'
import type {
  ConfigChange,
  ConfigChangeResult,
  TenantDifference,
} from '../../config/config-store.ts'
import { formatProblem } from '../../config/problem.ts'
import type { Config } from '../../config/schema.ts'
import { Touched } from '../../config/touched.ts'
import type { Logger } from '../../runtime/logger.ts'

/** Keys that workers take while they run; everything else needs a restart. */
const RELOADABLE: ReadonlySet<string> = new Set(['tenants', 'limits', 'quotas', 'workers'])
const MAX_CHANGED_KEYS = 20
/** Of TLS all can change, but not whether there is any: that is another kind of listener. */
const RELOADABLE_PATH = /^listeners\[\d+\]\.tls\./

export interface ReloaderOptions {
  /** What is in force; at the start it is generation 1. */
  readonly store: {
    readonly size: number
    readonly reload: (touched?: Touched) => ConfigChangeResult
  }
  /** Brings a change to the workers; resolves with what any of them could not do. */
  readonly apply: (difference: TenantDifference, generation: number) => Promise<readonly string[]>
  /** Starts and ends workers as the configuration wants it; resolves with what kept new ones from serving. */
  readonly resize: (config: Config) => Promise<readonly string[]>
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
  /** What is different from now on. */
  readonly onChange: (difference: TenantDifference, generation: number) => void
}

export type ReloadResult =
  | { readonly ok: true; readonly generation: number; readonly changed: boolean }
  | { readonly ok: false; readonly generation: number; readonly problems: readonly string[] }

/** A reload that waits for its turn. */
interface Waiting {
  readonly result: Promise<ReloadResult>
  cause: string
  /** Undefined where everything is to be looked at. */
  touched: Touched | undefined
}

export class Reloader {
  readonly #options: ReloaderOptions
  #generation = 1
  #last: Promise<unknown> = Promise.resolve()
  #waiting: Waiting | undefined

  constructor(options: ReloaderOptions) {
    this.#options = options
  }

  /** Of what the store has in force; while a reload is under way already of the new one, which a worker born then gets. */
  get generation(): number {
    return this.#generation
  }

  /**
   * Looks at everything, or at the sources that were `touched`. One at a time; requests that arrive while one waits for its
   * turn are the same request. Never rejects.
   */
  async reload(cause: string, touched?: Touched): Promise<ReloadResult> {
    const waiting = this.#waiting
    if (waiting !== undefined) {
      if (touched === undefined) {
        // What a watcher tells of is less than what anybody asks for.
        waiting.touched = undefined
        waiting.cause = cause
      } else waiting.touched?.merge(touched)
      return waiting.result
    }
    const result = this.#last.then(async () => {
      const asked = this.#waiting ?? { cause, touched: undefined }
      this.#waiting = undefined
      return this.#reload(asked.cause, asked.touched)
    })
    this.#waiting = { result, cause, touched: touched && copyOf(touched) }
    this.#last = result
    return result
  }

  async #reload(cause: string, touched: Touched | undefined): Promise<ReloadResult> {
    const change = this.#load(touched)
    if ('refused' in change) return this.#refuse(cause, change.refused)
    const fixed = changedKeys(change.former, change.config)
    if (fixed.length > 0) {
      change.undo()
      return this.#refuse(cause, [
        `only tenants, limits, quotas, workers and TLS of listeners can change without a restart; changed: ${fixed.join(', ')}`,
      ])
    }
    // Whoever watches them tells of files; a change of the tenants reads none of them.
    const unusable = cause === 'watch' ? [] : (this.#options.files?.check(change.config) ?? [])
    if (unusable.length > 0) {
      change.undo()
      return this.#refuse(cause, unusable)
    }
    const changed = isChange(change)
    if (!changed && cause === 'watch') return { ok: true, generation: this.#generation, changed }
    const problems = await this.#enforceAll(change)
    if (problems.length > 0) return this.#takeBack(cause, change, problems)
    this.#options.files?.settle()
    for (const warning of change.warnings)
      this.#options.logger.warn({ warning }, 'configuration warning')
    const tenants = this.#options.store.size
    this.#options.logger.info(
      { cause, generation: this.#generation, tenants, changed },
      'configuration reloaded',
    )
    return { ok: true, generation: this.#generation, changed }
  }

  async #takeBack(
    cause: string,
    change: ConfigChange,
    problems: readonly string[],
  ): Promise<ReloadResult> {
    const remaining = await this.#enforce(change.undo())
    if (remaining.length > 0)
      this.#options.logger.error(
        { problems: remaining },
        'the former configuration cannot be restored',
      )
    return this.#refuse(cause, problems)
  }

  #load(touched: Touched | undefined): ConfigChange | { readonly refused: readonly string[] } {
    try {
      const loaded = this.#options.store.reload(touched)
      return 'problems' in loaded ? { refused: loaded.problems.map(formatProblem) } : loaded
    } catch (error) {
      return { refused: [`the configuration cannot be loaded: ${String(error)}`] }
    }
  }

  async #enforceAll({ tenants, config }: ConfigChange): Promise<readonly string[]> {
    const problems = await this.#enforce(tenants)
    // A new worker begins with what the others have by then.
    return problems.length > 0 ? problems : this.#options.resize(config)
  }

  async #enforce(difference: TenantDifference): Promise<readonly string[]> {
    this.#generation += 1
    const problems = await this.#options.apply(difference, this.#generation)
    this.#options.onChange(difference, this.#generation)
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

function copyOf(touched: Touched): Touched {
  const copy = new Touched()
  copy.merge(touched)
  return copy
}

function isChange({ former, config, tenants }: ConfigChange): boolean {
  const { changed, removed } = tenants
  return changed.length > 0 || removed.length > 0 || !isDeepStrictEqual(former, config)
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
