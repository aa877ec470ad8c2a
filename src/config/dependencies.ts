/** What `${…}` took from elsewhere: as long as it is the same there, a text that has not changed means the same. */
import { fileStamp } from './file-stamp.ts'

export type Env = Readonly<Record<string, string | undefined>>

export class Dependencies {
  readonly #variables = new Map<string, string | undefined>()
  readonly #files = new Map<string, string | undefined>()

  get empty(): boolean {
    return this.#variables.size === 0 && this.#files.size === 0
  }

  variable(name: string, value: string | undefined): void {
    this.#variables.set(name, value)
  }

  /** `path` is absolute. To be called before the file is read. */
  file(path: string): void {
    this.#files.set(path, fileStamp(path))
  }

  /** Whether all is as it was. */
  hold(env: Env): boolean {
    for (const [name, value] of this.#variables) {
      if ((Object.hasOwn(env, name) ? env[name] : undefined) !== value) return false
    }
    for (const [path, stamp] of this.#files) {
      if (stamp === undefined || fileStamp(path) !== stamp) return false
    }
    return true
  }
}
