/**
 * Watches the tenant sources and says when something there has changed. A file is watched through its directory: editors
 * and deployment tools replace files by renaming, and a watch on the file itself would stay with the old one.
 */
import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Config } from '../../config/schema.ts'
import type { Logger } from '../../runtime/logger.ts'

type TenantSource = Config['tenantSources'][number]

const QUIET_MS = 100
/** A directory that never comes to rest is read all the same. */
const LONGEST_WAIT_MS = 1_000
/** A directory that was deleted or replaced is looked for again. */
const WATCH_AGAIN_MS = 2_000

export interface SourceWatcherOptions {
  readonly sources: readonly TenantSource[]
  readonly logger: Logger
  /** Called once for a burst of changes, about 100 ms after the last of them. */
  readonly onChange: () => void
}

export class SourceWatcher {
  readonly #options: SourceWatcherOptions
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #again = new Map<string, NodeJS.Timeout>()
  #quiet: NodeJS.Timeout | undefined
  #firstChangeAt = 0

  constructor(options: SourceWatcherOptions) {
    this.#options = options
    for (const [directory, isOurs] of watchedDirectories(options.sources)) {
      this.#watch(directory, isOurs)
    }
  }

  close(): void {
    clearTimeout(this.#quiet)
    for (const timer of this.#again.values()) clearTimeout(timer)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#again.clear()
    this.#watchers.clear()
  }

  #watch(directory: string, isOurs: (name: string) => boolean): void {
    const retry = (error: unknown): void => {
      this.#options.logger.warn(
        { directory, err: error },
        'a tenant source cannot be watched; trying again',
      )
      this.#watchers.get(directory)?.close()
      this.#watchers.delete(directory)
      clearTimeout(this.#again.get(directory))
      this.#again.set(
        directory,
        setTimeout(() => {
          this.#watch(directory, isOurs)
          // Whatever happened meanwhile was not seen.
          if (this.#watchers.has(directory)) this.#changed()
        }, WATCH_AGAIN_MS),
      )
    }
    try {
      const watcher = watch(directory, (event, name) => {
        // The directory itself was moved or deleted; the watch would stay with the old one for ever.
        if (event === 'rename' && name === basename(directory))
          retry(new Error('the directory was moved'))
        if (name === null || isOurs(name)) this.#changed()
      })
      watcher.on('error', retry)
      this.#watchers.set(directory, watcher)
    } catch (error) {
      retry(error)
    }
  }

  #changed(): void {
    const now = performance.now()
    if (this.#quiet === undefined) this.#firstChangeAt = now
    else clearTimeout(this.#quiet)
    const wait = Math.min(QUIET_MS, Math.max(0, this.#firstChangeAt + LONGEST_WAIT_MS - now))
    this.#quiet = setTimeout(() => {
      this.#quiet = undefined
      this.#options.onChange()
    }, wait)
  }
}

/** Each directory once, with what is of interest in it. */
function watchedDirectories(
  sources: readonly TenantSource[],
): Map<string, (name: string) => boolean> {
  const names = new Map<string, Set<string> | 'all'>()
  for (const source of sources) {
    if ('directory' in source) {
      names.set(source.directory, 'all')
      continue
    }
    const directory = dirname(source.file)
    const files = names.get(directory) ?? new Set<string>()
    if (files !== 'all') names.set(directory, files.add(basename(source.file)))
  }
  return new Map(
    [...names].map(([directory, files]) => [directory, (name: string) => concerns(files, name)]),
  )
}

/** `..data` is how Kubernetes swaps a mounted ConfigMap: a link in the directory changes, the files do not. */
function concerns(files: ReadonlySet<string> | 'all', name: string): boolean {
  if (name.startsWith('..')) return true
  return files === 'all' ? /\.ya?ml$/.test(name) : files.has(name)
}
