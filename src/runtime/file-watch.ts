/**
 * Tells that files have changed, however they are replaced: written in place, by renaming, or as Kubernetes does it, by a
 * link beside them that turns. Their directories are watched; and since neither a link on the way to a directory nor every file
 * system tells of a change, the files are looked at from time to time as well.
 */
import { type FSWatcher, statSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path'

/** A burst of changes is one. */
const QUIET_MS = 100
const LOOK_MS = 10_000

export interface FileWatchOptions {
  /** False where what was found could not be used: it is looked at again before long, also if nothing changes. */
  readonly changed: () => boolean
  readonly lookMs?: number
}

export class FileWatch {
  readonly #options: FileWatchOptions
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #interval: NodeJS.Timeout
  #quiet: NodeJS.Timeout | undefined
  #files: readonly string[] = []
  #names: ReadonlySet<string> = new Set()
  /** Of the files when they were last read; undefined: to be read again. */
  #stamps: string | undefined = ''

  constructor(options: FileWatchOptions) {
    this.#options = options
    this.#interval = setInterval(() => this.#look(), options.lookMs ?? LOOK_MS)
  }

  /** These from now on; they have just been read. */
  follow(files: readonly string[]): void {
    this.#files = [...new Set(files)]
    this.#names = new Set(this.#files.map(file => basename(file)))
    this.#stamps = this.#stampsNow()
    const directories = new Set(this.#files.map(file => dirname(file)))
    for (const [directory, watcher] of this.#watchers) {
      if (directories.has(directory)) continue
      watcher.close()
      this.#watchers.delete(directory)
    }
    for (const directory of directories) this.#watch(directory)
  }

  close(): void {
    clearInterval(this.#interval)
    clearTimeout(this.#quiet)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #watch(directory: string): void {
    if (this.#watchers.has(directory)) return
    try {
      const watcher = watch(directory, (_event, name) => {
        if (name === null || this.#concerns(name)) this.#stirred()
      })
      this.#watchers.set(directory, watcher)
      watcher.on('error', () => {
        watcher.close()
        this.#watchers.delete(directory)
      })
    } catch {
      // It is not there, or there are no more watches to be had: the next look sees to it.
    }
  }

  /** `..data` is the link that Kubernetes turns. A folder may have other files that change all the time. */
  #concerns(name: string): boolean {
    return name.startsWith('..') || this.#names.has(name)
  }

  #stirred(): void {
    this.#quiet ??= setTimeout(() => {
      this.#quiet = undefined
      this.#look()
    }, QUIET_MS)
  }

  #look(): void {
    for (const file of this.#files) this.#watch(dirname(file))
    const stamps = this.#stampsNow()
    if (stamps === this.#stamps) return
    this.#stamps = this.#options.changed() ? stamps : undefined
  }

  #stampsNow(): string {
    return this.#files.map(stampOf).join('\n')
  }
}

function stampOf(file: string): string {
  const stats = statSync(file, { throwIfNoEntry: false, bigint: true })
  if (stats === undefined) return ''
  const { dev, ino, size, mtimeNs, ctimeNs } = stats
  return [dev, ino, size, mtimeNs, ctimeNs].join()
}
