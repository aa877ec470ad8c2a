/** A change of the tenants that comes in pieces. It takes effect with the last one, or not at all. */
import type { DirectoryChange, DirectorySwap, TenantDirectory } from './directory.ts'
import { FirstTenants } from './first-tenants.ts'

export class PendingChange {
  readonly #directory: TenantDirectory
  readonly #first: FirstTenants | undefined
  readonly #changed: string[] = []
  readonly #removed: string[] = []
  #fault: Error | undefined

  /** A change of `directory`, which must be the newest until the end. */
  constructor(directory: TenantDirectory) {
    this.#directory = directory
    this.#first = directory.size === 0 ? new FirstTenants(directory.nextIndex) : undefined
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
