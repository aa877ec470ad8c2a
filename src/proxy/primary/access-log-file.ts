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
  /** Which file it is that workers write to; undefined where they have just been told to begin another one. */
  #identity: string | undefined
  #rotates: boolean
  #failing = false

  constructor(options: AccessLogFileOptions) {
    const { access } = options.log
    this.#options = options
    this.#path = access === 'off' || access === 'stdout' ? undefined : access
    this.#rotates = options.log.accessRotation.size > 0
  }

  start(): void {
    const path = this.#path
    if (path === undefined) return
    this.#timer = setInterval(() => {
      void this.look(path)
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
    this.#reopen()
  }

  /** Another process rotates it from now on; workers of this one, which end, follow it to the new file. */
  follow(): void {
    this.#rotates = false
  }

  /** One at a time. */
  async look(path: string): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    const found = await fileAt(path)
    if (found === undefined) {
      if (this.#seen) this.#reopen()
    } else {
      // Somebody has put another one in its place: workers write to one that nobody looks at.
      if (this.#identity !== undefined && found.identity !== this.#identity) this.#reopen()
      this.#seen = true
      this.#identity = found.identity
      if (this.#rotates && found.bytes >= this.#options.log.accessRotation.size)
        await this.#rotate(path)
    }
    this.#looking = false
  }

  #reopen(): void {
    this.#identity = undefined
    this.#options.reopen()
  }

  /** The oldest one is written over. */
  async #rotate(path: string): Promise<void> {
    const { log, logger, metrics } = this.#options
    try {
      for (let number = log.accessRotation.keep - 1; number >= 1; number--)
        await renameIfThere(`${path}.${number}`, `${path}.${number + 1}`)
      await renameIfThere(path, `${path}.1`)
      metrics.rotated()
      this.#failing = false
      this.#reopen()
    } catch (error) {
      metrics.rotationFailed()
      if (!this.#failing)
        logger.error({ err: error, file: path }, 'the access log cannot be rotated')
      this.#failing = true
    }
  }
}

async function fileAt(
  path: string,
): Promise<{ readonly identity: string; readonly bytes: number } | undefined> {
  try {
    const { dev, ino, size } = await stat(path)
    return { identity: `${dev}:${ino}`, bytes: size }
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
