/**
 * The file of the access log, to which all workers append: moved away where it has become too large, and begun anew where
 * somebody else has moved or deleted it. The workers are told; until they have heard it they write to the old one, so that
 * no line is lost.
 */
import { rename, stat } from 'node:fs/promises'
import type { Config } from '../../config/schema.ts'
import type { Logger } from '../../runtime/logger.ts'

export interface AccessLogFileOptions {
  readonly log: Config['log']
  readonly logger: Logger
  /** Tells all workers to open it anew. */
  readonly reopen: () => void
  readonly metrics: { rotated(): void; rotationFailed(): void }
}

/** How far a file may grow beyond its size is what comes in such a time. */
const LOOK_MS = 1_000

export class AccessLogFile {
  readonly #options: AccessLogFileOptions
  readonly #path: string | undefined
  #timer: NodeJS.Timeout | undefined
  #looking = false
  /** It was there: what was never made is not missed. */
  #seen = false
  #failing = false

  constructor(options: AccessLogFileOptions) {
    const { access } = options.log
    this.#options = options
    this.#path = access === 'off' || access === 'stdout' ? undefined : access
  }

  start(): void {
    const path = this.#path
    if (path === undefined) return
    this.#timer = setInterval(() => {
      if (!this.#looking) void this.#look(path)
    }, LOOK_MS)
    this.#timer.unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** By a signal: whoever moves files away by themselves says so by it. */
  reopen(): void {
    if (this.#path === undefined) return
    this.#options.logger.info({ file: this.#path }, 'opening the access log anew')
    this.#options.reopen()
  }

  async #look(path: string): Promise<void> {
    this.#looking = true
    const { log, reopen } = this.#options
    const bytes = await sizeOf(path)
    if (bytes === undefined) {
      if (this.#seen) reopen()
    } else {
      this.#seen = true
      if (log.accessRotation.size > 0 && bytes >= log.accessRotation.size) await this.#rotate(path)
    }
    this.#looking = false
  }

  /** The oldest one is written over. */
  async #rotate(path: string): Promise<void> {
    const { log, logger, reopen, metrics } = this.#options
    try {
      for (let number = log.accessRotation.keep - 1; number >= 1; number--)
        await renameIfThere(`${path}.${number}`, `${path}.${number + 1}`)
      await renameIfThere(path, `${path}.1`)
      metrics.rotated()
      this.#failing = false
      reopen()
    } catch (error) {
      metrics.rotationFailed()
      if (!this.#failing)
        logger.error({ err: error, file: path }, 'the access log cannot be rotated')
      this.#failing = true
    }
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch {
    return undefined
  }
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
