/**
 * Reloading: reads the configuration again and brings tenants, limits, quotas and listeners to the workers. All or nothing: a
 * configuration that is wrong, that changes more than may change while running, or that a worker cannot apply leaves the old
 * one in force.
 */
import { isDeepStrictEqual } from 'node:util'
import type {
  ConfigChange,
  ConfigChangeResult,
  TenantDifference,
} from '../../config/config-store.ts'
import { formatPath, formatProblem } from '../../config/problem.ts'
import type { Config } from '../../config/schema.ts'
import { Touched } from '../../config/touched.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { BoundAddress } from '../ipc.ts'
import { changedKeys, refusalsOf, sameListeners } from './changed-keys.ts'

/** What workers have to do for a change. */
export interface Enforced {
  readonly tenants: TenantDifference
  readonly generation: number
  /** Whether listeners are different as well. */
  readonly listeners: boolean
}

export interface ReloaderOptions {
  /** What is in force; at the start it is `FIRST_GENERATION`. */
  readonly store: {
    readonly size: number
    readonly reload: (touched?: Touched) => ConfigChangeResult
  }
  /** Brings a change to the workers; resolves with what any of them could not do. */
  readonly apply: (change: Enforced) => Promise<readonly string[]>
  /** Starts and ends workers as the configuration wants it; resolves with what kept new ones from serving. */
  readonly resize: (config: Config) => Promise<readonly string[]>
  /** The last change of listeners stays as it is now: what it left behind may end. Returns where workers listen, or some of it. */
  readonly settle: () => readonly BoundAddress[]
  readonly logger: Logger
  /** A reload was refused. */
  readonly onRefused: () => void
  /** What the configuration names beside itself, such as certificates. */
  readonly files?: {
    /** Returns what of it cannot be used. */
    readonly check: (config: Config) => readonly string[]
    /** What was checked last is in force. */
    readonly settle: () => void
    /** What was checked last will not be. */
    readonly discard: () => void
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

/** Of what was read at the start. */
export const FIRST_GENERATION = 1

export class Reloader {
  readonly #options: ReloaderOptions
  #generation = FIRST_GENERATION
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
    const { fixed, ofMixer } = changedKeys(change.former, change.config)
    if (fixed.length > 0) {
      change.undo()
      return this.#refuse(cause, refusalsOf(fixed, change.source).map(formatProblem))
    }
    // Whoever watches them tells of files; a change of the tenants reads none of them.
    const unusable = cause === 'watch' ? [] : (this.#options.files?.check(change.config) ?? [])
    if (unusable.length > 0) {
      change.undo()
      return this.#refuse(cause, unusable)
    }
    const changed = isChange(change)
    if (!changed && cause === 'watch') return { ok: true, generation: this.#generation, changed }
    const listeners = !sameListeners(change.former, change.config)
    const problems = await this.#enforceAll(change, listeners)
    if (problems.length > 0) return this.#takeBack(cause, change, problems)
    const { files, settle, store, logger } = this.#options
    files?.settle()
    const bound = listeners ? { bound: settle() } : {}
    for (const warning of change.warnings) logger.warn({ warning }, 'configuration warning')
    if (ofMixer.length > 0)
      logger.warn({ keys: ofMixer.map(formatPath) }, 'changed keys are of the mixer: restart it')
    const { generation } = this
    const figures = { cause, generation, tenants: store.size, changed }
    logger.info({ ...figures, ...bound }, 'configuration reloaded')
    return { ok: true, generation: this.#generation, changed }
  }

  async #takeBack(
    cause: string,
    change: ConfigChange,
    problems: readonly string[],
  ): Promise<ReloadResult> {
    const { files, settle } = this.#options
    const listeners = !sameListeners(change.former, change.config)
    files?.discard()
    const remaining = await this.#enforce(change.undo(), listeners)
    if (listeners) settle()
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

  async #enforceAll(
    { tenants, config }: ConfigChange,
    listeners: boolean,
  ): Promise<readonly string[]> {
    const problems = await this.#enforce(tenants, listeners)
    // A new worker begins with what the others have by then.
    return problems.length > 0 ? problems : this.#options.resize(config)
  }

  async #enforce(tenants: TenantDifference, listeners: boolean): Promise<readonly string[]> {
    this.#generation += 1
    const generation = this.#generation
    const problems = await this.#options.apply({ tenants, generation, listeners })
    this.#options.onChange(tenants, generation)
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
