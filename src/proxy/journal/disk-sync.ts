/**
 * Brings what was written to the disk itself, off the path of the calls. The page cache survives the end of a process by
 * any means; this is about the end of the machine. One sync at a time: a slow disk gets no queue.
 */
import type { JournalDisk } from './journal-disk.ts'

/** Files that wait for their last sync; with more the disk hangs, and they are closed without. */
const MAX_RETIRED = 64

export interface DiskSyncOptions {
  readonly disk: JournalDisk
  /** 0 for never; `always` for each write, before it counts as written. */
  readonly every: number | 'always'
  readonly onError: (error: unknown) => void
}

export class DiskSync {
  readonly #options: DiskSyncOptions
  /** Written to and not synced since. */
  readonly #dirty = new Set<number>()
  /** No more is written to them: they are closed once they are synced. */
  readonly #retired = new Set<number>()
  /** What was dirty when the time for a sync came. */
  #due = new Set<number>()
  /** Under way. */
  #syncing: number | undefined
  readonly #timer: NodeJS.Timeout | undefined

  constructor(options: DiskSyncOptions) {
    this.#options = options
    const { every } = options
    if (typeof every === 'number' && every > 0)
      this.#timer = setInterval(() => {
        this.#due = new Set(this.#dirty)
        this.#next()
      }, every).unref()
  }

  /** Something was appended to `file`. With `always` it throws what the disk says. */
  wrote(file: number): void {
    const { every, disk } = this.#options
    if (every === 'always') disk.syncNow(file)
    else if (every > 0) this.#dirty.add(file)
  }

  /** Nothing more will be written to `file`; it is closed in time. */
  retire(file: number): void {
    const unsynced = this.#dirty.has(file) && this.#retired.size < MAX_RETIRED
    // A file that is being synced must not be closed, or its number could be that of another one by then.
    if (!unsynced && file !== this.#syncing) {
      this.#close(file)
      return
    }
    this.#retired.add(file)
    this.#next()
  }

  /** Syncs all at once: the process may end right behind it. After that nothing may be written. */
  close(): void {
    clearInterval(this.#timer)
    const files = new Set([...this.#dirty, ...this.#retired])
    // What is under way may come too late.
    if (this.#syncing !== undefined) files.add(this.#syncing)
    for (const file of files) {
      try {
        this.#options.disk.syncNow(file)
      } catch (error) {
        this.#options.onError(error)
      }
    }
    this.#dirty.clear()
    // One that is being synced is closed when that is over.
    for (const file of this.#retired) if (file !== this.#syncing) this.#close(file)
  }

  #next(): void {
    const [file] = this.#retired.size > 0 ? this.#retired : this.#due
    if (this.#syncing !== undefined || file === undefined) return
    this.#syncing = file
    this.#due.delete(file)
    // What is written from here on is for the next time.
    this.#dirty.delete(file)
    this.#options.disk.sync(file, error => {
      this.#syncing = undefined
      if (error !== null) this.#options.onError(error)
      // Written to meanwhile, it is synced once more.
      if (this.#retired.has(file) && !this.#dirty.has(file)) this.#close(file)
      this.#next()
    })
  }

  #close(file: number): void {
    this.#dirty.delete(file)
    this.#due.delete(file)
    this.#retired.delete(file)
    try {
      this.#options.disk.close(file)
    } catch (error) {
      this.#options.onError(error)
    }
  }
}
