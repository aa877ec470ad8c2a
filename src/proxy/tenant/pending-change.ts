/** A change of the tenants that comes in pieces. It takes effect with the last one, or not at all. */

import type { DirectoryChange, DirectorySwap, TenantDirectory } from './directory.ts'
import type { DirectoryDraft } from './directory-draft.ts'

export class PendingChange {
  readonly #directory: TenantDirectory
  /** Where there are no tenants yet, nothing can be in the way of those that come: they are taken as they come. */
  readonly #first: DirectoryDraft | undefined
  readonly #changed: string[] = []
  readonly #removed: string[] = []
  #fault: Error | undefined

  /** A change of `directory`, which must be the newest until the end. */
  constructor(directory: TenantDirectory) {
    this.#directory = directory
    this.#first = directory.size === 0 ? directory.draft() : undefined
  }

  take({ changed, removed }: Pick<DirectoryChange, 'changed' | 'removed'>): void {
    const first = this.#first
    if (first === undefined) {
      for (const text of changed) this.#changed.push(text)
      for (const id of removed) this.#removed.push(id)
      return
    }
    try {
      for (const text of changed) first.replace(text)
      first.enter(first.entering)
    } catch (error) {
      this.#fault ??= error as Error
    }
  }

  /** Throws as `TenantDirectory.apply` does. */
  async finish(generation: number, pause: () => Promise<void>): Promise<DirectorySwap> {
    if (this.#fault !== undefined) throw this.#fault
    if (this.#first !== undefined) return this.#directory.publish(this.#first, generation)
    const change = { generation, changed: this.#changed, removed: this.#removed }
    return this.#directory.applyInTurns(change, pause)
  }
}
