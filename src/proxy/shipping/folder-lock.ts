/**
 * One proxy alone ships the journals of a folder: two would delete and cut what the other still reads. The lock is that
 * of a SQLite file, which the kernel lets go however its holder ends, and which holds across containers that share a disk.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

const LOCK_FILE = 'lock'
/** Only for the message: who holds the lock is said by the lock. */
const HOLDER_FILE = 'lock.holder'
const SQLITE_BUSY = 5

/** The folder is in use; the message says by whom. */
export class FolderInUseError extends Error {
  override readonly name = 'FolderInUseError'
}

export class FolderLock {
  readonly #database: DatabaseSync

  /** Throws a FolderInUseError, or what the file system says. */
  constructor(folder: string) {
    this.#database = new DatabaseSync(join(folder, LOCK_FILE), { timeout: 0 })
    try {
      // Nothing is ever written to it, so there is no other file beside it.
      this.#database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    } catch (error) {
      this.#database.close()
      throw isBusy(error)
        ? new FolderInUseError(`another proxy${holderOf(folder)} ships the journals in ${folder}`)
        : error
    }
    sayHolder(folder)
  }

  release(): void {
    this.#database.close()
  }
}

function sayHolder(folder: string): void {
  try {
    writeFileSync(join(folder, HOLDER_FILE), `${process.pid}\n`, { mode: 0o600 })
  } catch {
    // A full disk must not keep a proxy from its start: it is one of those that serve on without a journal.
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY
}

function holderOf(folder: string): string {
  try {
    const pid = readFileSync(join(folder, HOLDER_FILE), 'latin1').trim()
    return /^\d{1,10}$/.test(pid) ? ` (process ${pid})` : ''
  } catch {
    return ''
  }
}
