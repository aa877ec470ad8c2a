/** A file with the number of the process that is in charge, for service managers that follow it (`PIDFile=` of systemd). */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import type { Logger } from './logger.ts'

export class PidFile {
  /** Undefined where nobody wants one. */
  readonly #path: string | undefined
  readonly #logger: Logger

  constructor(path: string | undefined, logger: Logger) {
    this.#path = path
    this.#logger = logger
  }

  /** Names this process, or that one; replaces what is there, at once and as a whole. */
  write(pid: number = process.pid): void {
    const path = this.#path
    if (path === undefined) return
    try {
      const temporary = `${path}.${process.pid}`
      writeFileSync(temporary, `${pid}\n`)
      renameSync(temporary, path)
    } catch (error) {
      this.#logger.error({ err: error, path }, 'the pid file cannot be written')
    }
  }

  /** Removes it where it still names this process, and not the one after it. */
  remove(): void {
    const path = this.#path
    if (path === undefined) return
    try {
      if (readFileSync(path, 'utf8').trim() === String(process.pid)) rmSync(path)
    } catch {
      // Nobody misses what is gone already.
    }
  }
}
