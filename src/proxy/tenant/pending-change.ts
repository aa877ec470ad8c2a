/** A change of the tenants that comes in pieces. It takes effect with the last one, or not at all. */
import type { DirectoryChange, DirectorySwap, TenantDirectory } from './directory.ts'
import { FirstTenants } from './first-tenants.ts'

export class PendingChange {
  readonly #directory: TenantDirectory
  readonly #first: FirstTenants | undefined = undefined
  readonly #changed: string[] = []
  readonly #removed: string[] = []
  #fault: Error | undefined

  /** A change of `directory`, which must be the newest until the end. `first` are tenants of an empty one that came already. */
  constructor(directory: TenantDirectory, first?: FirstTenants) {
    this.#directory = directory
    if (directory.size === 0) this.#first = first ?? new FirstTenants(directory.nextIndex)
  }

  take({ changed, removed }: Pick<DirectoryChange, 'changed' | 'removed'>): void {
    if (this.#first !== undefined) {
      this.#takeFirst(this.#first, changed)
      return
    }
    for (const text of changed) this.#changed.push(text)
    for (const id of removed) this.#removed.push(id)
  }

  /** Throws as `TenantDirectory.apply` does. */
  async finish(generation: number, pause: () => Promise<void>): Promise<DirectorySwap> {
    if (this.#fault !== undefined) throw this.#fault
    if (this.#first !== undefined) return this.#directory.begin(this.#first, generation)
    const change = { generation, changed: this.#changed, removed: this.#removed }
    return this.#directory.applyInTurns(change, pause)
  }

  #takeFirst(first: FirstTenants, texts: readonly string[]): void {
    try {
      first.take(texts)
    } catch (error) {
      this.#fault ??= error as Error
    }
  }
}
