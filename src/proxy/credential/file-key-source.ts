import { readFileSync, statSync } from 'node:fs'
import type { KeySet } from './key-set.ts'
import {
  KeyHolder,
  type KeySource,
  type KeyUse,
  MAX_JWKS_BYTES,
  type ProblemLog,
} from './key-source.ts'

const FILE_CHECK_MS = 1_000

/** Reads the file again when it has changed; one `stat` a second while there are calls (3 µs). */
export class FileKeySource implements KeySource {
  readonly #path: string
  readonly #holder: KeyHolder
  #checkedAtMs = Number.NEGATIVE_INFINITY
  /** Of the file whose content is in use. */
  #version = ''

  constructor(path: string, log: ProblemLog, use?: KeyUse) {
    this.#path = path
    this.#holder = new KeyHolder(path, log, use)
  }

  current(nowMs: number): KeySet | undefined {
    // Also when the clock was set back: else the file would not be read again until it has caught up.
    if (Math.abs(nowMs - this.#checkedAtMs) >= FILE_CHECK_MS) {
      this.#checkedAtMs = nowMs
      this.#check(nowMs)
    }
    return this.#holder.keys
  }

  load(nowMs: number): Promise<KeySet | undefined> {
    return Promise.resolve(this.current(nowMs))
  }

  refresh(nowMs: number): Promise<KeySet | undefined> {
    return this.load(nowMs)
  }

  close(): void {}

  #check(nowMs: number): void {
    try {
      const { mtimeMs, size, ino } = statSync(this.#path)
      const version = `${mtimeMs} ${size} ${ino}`
      if (version === this.#version) return
      if (size > MAX_JWKS_BYTES) throw new Error(`is larger than ${MAX_JWKS_BYTES} bytes`)
      if (this.#holder.replace(readFileSync(this.#path, 'utf8'), nowMs)) this.#version = version
    } catch (error) {
      this.#holder.problem(error, nowMs)
    }
  }
}
