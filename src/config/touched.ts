/** Which tenant sources have changed, and which files in them, as far as that is known. */
import type { Scope } from './tenant-part.ts'

/** Names beyond this are not kept: it is then cheaper to look at the whole directory. */
const MAX_NAMES = 10_000

export class Touched {
  #all = false
  /** By the absolute path of the source. */
  readonly #scopes = new Map<string, 'all' | Set<string>>()

  /** Whether nothing is known to have changed. */
  get empty(): boolean {
    return !this.#all && this.#scopes.size === 0
  }

  /** Anything may have changed. */
  addAll(): void {
    this.#all = true
  }

  /** Something in this source, or these files of a directory, may have changed. */
  add(path: string, scope: Scope): void {
    const former = this.#scopes.get(path)
    if (former === 'all') return
    if (scope === 'all') {
      this.#scopes.set(path, 'all')
      return
    }
    const names = former ?? new Set()
    for (const name of scope) names.add(name)
    this.#scopes.set(path, names.size > MAX_NAMES ? 'all' : names)
  }

  merge(other: Touched): void {
    if (other.#all) this.#all = true
    for (const [path, scope] of other.#scopes) this.add(path, scope)
  }

  /** `undefined` for a source that need not be looked at. */
  scopeOf(path: string): Scope | undefined {
    return this.#scopes.get(path) ?? (this.#all ? 'all' : undefined)
  }
}
