/** The tenants that stand in the main file itself. They are few, as it is small: with each reading all are read. */
import type { Place } from './problem.ts'
import type { TenantEntry } from './tenant-entry.ts'
import type { PartChange, Reading, TenantPart } from './tenant-part.ts'
import type { YamlSource } from './yaml-source.ts'

export class InlineTenants implements TenantPart {
  #main: YamlSource
  #entries: TenantEntry[] = []
  /** Where each stands in the list. */
  #indexes = new Map<TenantEntry, number>()

  constructor(main: YamlSource) {
    this.#main = main
  }

  /** The main file as it is from now on; to be read then. Gives what it was. */
  replace(main: YamlSource): YamlSource {
    const former = this.#main
    this.#main = main
    return former
  }

  read(_scope: unknown, reading: Reading): PartChange {
    const main = this.#main
    const [formerEntries, formerIndexes] = [this.#entries, this.#indexes]
    this.#entries = []
    this.#indexes = new Map()
    for (const [index, input] of listIn(main.value).entries()) {
      const place = { source: main, path: ['tenants', index] }
      const taken = reading.take({ input, place, yaml: () => main }, this)
      if (taken === undefined) continue
      this.#indexes.set(taken.entry, index)
      this.#entries.push(taken.entry)
      reading.admit(taken)
    }
    return {
      removed: formerEntries,
      added: this.#entries,
      undo: () => {
        this.#entries = formerEntries
        this.#indexes = formerIndexes
      },
    }
  }

  placeOf(entry: TenantEntry): Place {
    return { source: this.#main, path: ['tenants', this.#indexes.get(entry) ?? 0] }
  }

  isBefore(one: TenantEntry, other: TenantEntry): boolean {
    return (this.#indexes.get(one) ?? 0) < (this.#indexes.get(other) ?? 0)
  }
}

function listIn(main: unknown): readonly unknown[] {
  const tenants: unknown =
    typeof main === 'object' && main !== null && 'tenants' in main ? main.tenants : undefined
  return Array.isArray(tenants) ? tenants : []
}
