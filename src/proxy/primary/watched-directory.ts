/**
 * Hears of what happens in a directory, for as long as it takes: also when it is deleted, made anew or exchanged, and, where
 * the system has no watch left to give, by looking at it from time to time.
 */
import { type FSWatcher, lstatSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Logger } from '../../runtime/logger.ts'
import { DirectoryPoll } from './directory-poll.ts'

/** A directory that was deleted or replaced is looked for again, if nothing says before that it is there. */
const WATCH_AGAIN_MS = 2_000

const LOST = 'a tenant source cannot be watched; trying again'

export interface DirectoryEvents {
  /** As `fs.watch` says it; `name` is null where it does not know. */
  readonly heard: (event: string, name: string | null) => void
  /** There is another directory in its place, whole; or one that may still be filled. */
  readonly replaced: (whole: boolean) => void
  /** Something in it is not what it was; only polled directories say so. */
  readonly polled: () => void
}

export interface WatchedDirectoryOptions {
  /** Absolute. */
  readonly path: string
  /** What is looked at in it where it must be polled. */
  readonly isOurs: (name: string) => boolean
  readonly logger: Logger
  readonly events: DirectoryEvents
  /** `fs.watch`; tests bring their own. */
  readonly watch?: typeof watch
  readonly pollMs?: number | undefined
}

export class WatchedDirectory {
  readonly #options: WatchedDirectoryOptions
  readonly #watch: typeof watch
  #watcher: FSWatcher | undefined
  /** Of the directory around it: what is deleted, renamed or a link hears nothing of what takes its place. */
  #around: FSWatcher | undefined
  #again: NodeJS.Timeout | undefined
  #poll: DirectoryPoll | undefined
  /** It has been said that it cannot be watched. */
  #missing = false
  #closed = false

  constructor(options: WatchedDirectoryOptions) {
    this.#options = options
    this.#watch = options.watch ?? watch
    this.#begin()
    this.#watchAround()
  }

  close(): void {
    this.#closed = true
    this.#end()
    this.#around?.close()
  }

  /** Returns whether it is watched. */
  #begin(): boolean {
    const { path, events } = this.#options
    try {
      const watcher = this.#watch(path, (event, name) => {
        // The directory itself was moved or deleted; the watch would stay with the old one for ever.
        if (event === 'rename' && name === basename(path)) this.#lost(new Error('it was moved'))
        else events.heard(event, name)
      })
      watcher.on('error', error => this.#lost(error))
      this.#watcher = watcher
      this.#missing = false
      return true
    } catch (error) {
      this.#lost(error)
      return false
    }
  }

  #end(): void {
    clearTimeout(this.#again)
    this.#watcher?.close()
    this.#watcher = undefined
    this.#poll?.close()
    this.#poll = undefined
  }

  #lost(error: unknown): void {
    if (this.#closed) return
    const { path, logger, events } = this.#options
    this.#end()
    if (isExhausted(error)) {
      this.#pollInstead(error)
      return
    }
    if (!this.#missing) {
      this.#missing = true
      logger.warn({ directory: path, err: error }, LOST)
      events.replaced(false)
    }
    this.#again = setTimeout(() => this.#find(false), WATCH_AGAIN_MS)
  }

  /** Whatever happened meanwhile was not seen. */
  #find(whole: boolean): void {
    this.#end()
    if (this.#begin()) this.#options.events.replaced(whole)
  }

  #watchAround(): void {
    const { path } = this.#options
    try {
      this.#around = this.#watch(dirname(path), (event, name) => {
        if (event === 'rename' && name === basename(path) && !this.#closed) this.#exchanged()
      })
      this.#around.on('error', () => {})
    } catch {
      // Then it is looked for again when it is lost.
    }
  }

  /** A link leads to what is whole already. */
  #exchanged(): void {
    const stat = lstatSync(this.#options.path, { throwIfNoEntry: false })
    if (stat !== undefined) this.#find(stat.isSymbolicLink())
  }

  #pollInstead(error: unknown): void {
    const { path, isOurs, logger, events, pollMs } = this.#options
    if (this.#poll !== undefined) return
    logger.error(
      { directory: path, err: error },
      'the system has no watch left for a tenant source (fs.inotify.max_user_watches, fs.inotify.max_user_instances); it is looked at every few seconds instead',
    )
    this.#poll = new DirectoryPoll({ path, isOurs, onChange: events.polled, pollMs })
  }
}

/** Watches (ENOSPC) or watchers (EMFILE, ENFILE) of the system or of the user are all in use. */
function isExhausted(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ENOSPC' || code === 'EMFILE' || code === 'ENFILE'
}
