/** Looks at the files of a directory from time to time, where the system does not say when they change. */
import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const POLL_MS = 3_000
/** At most this part of the time goes into looking: a directory of 100,000 files is looked at less often. */
const LARGEST_SHARE = 0.05

export interface DirectoryPollOptions {
  readonly path: string
  /** What is looked at. */
  readonly isOurs: (name: string) => boolean
  /** Something has changed, and was the same when it was looked at twice: nobody is writing it. */
  readonly onChange: () => void
  readonly pollMs?: number | undefined
}

export class DirectoryPoll {
  readonly #options: DirectoryPollOptions
  #timer: NodeJS.Timeout
  /** What was told, and what was seen last. */
  #told: string
  #seen: string

  constructor(options: DirectoryPollOptions) {
    this.#options = options
    this.#told = this.#look()
    this.#seen = this.#told
    this.#timer = setTimeout(() => this.#poll(), options.pollMs ?? POLL_MS)
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  #poll(): void {
    const begun = performance.now()
    const now = this.#look()
    const tookMs = performance.now() - begun
    const pollMs = Math.max(this.#options.pollMs ?? POLL_MS, tookMs / LARGEST_SHARE)
    this.#timer = setTimeout(() => this.#poll(), pollMs)
    const still = now === this.#seen
    this.#seen = now
    if (!still || now === this.#told) return
    this.#told = now
    this.#options.onChange()
  }

  #look(): string {
    const { path, isOurs } = this.#options
    const hash = createHash('sha256')
    try {
      for (const name of readdirSync(path).filter(isOurs).toSorted()) {
        const { ino, size, mtimeMs, ctimeMs } = statSync(join(path, name))
        hash.update(`${name}\0${ino} ${size} ${mtimeMs} ${ctimeMs}\0`)
      }
    } catch (error) {
      hash.update(String(error))
    }
    return hash.digest('base64')
  }
}
