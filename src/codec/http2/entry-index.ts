/**
 * Finds entries of a dynamic table by what they say. The newest of those with a hash is found first and leads to the older
 * ones; entries that were evicted are not taken out, since whoever is led to one is behind the last that is there. What it
 * does not find is only written at greater length, so that it need not look for long.
 */
import type { DynamicTable } from './dynamic-table.ts'
import type { FieldName } from './field-name.ts'
import type { HeaderField } from './header-field.ts'

/** Whoever chooses fields so that their hashes are the same makes us look no further. */
const MOST_STEPS = 16

export class EntryIndex {
  readonly #table: DynamicTable
  /** By hash, the number of the newest entry; by the place of an entry, the number of the one before it. */
  #fields: number[] = []
  #beforeField: number[] = []
  #names: number[] = []
  #beforeName: number[] = []

  constructor(table: DynamicTable) {
    this.#table = table
  }

  /** The number of an entry that says the same, or -1. */
  find(field: HeaderField): number {
    const { hash } = field
    const mask = this.#fields.length - 1
    if (mask < 0) return -1
    let number = this.#fields[hash & mask] as number
    for (let steps = 0; steps < MOST_STEPS; steps++) {
      const entry = this.#table.entry(number)
      if (entry === undefined) return -1
      if (entry === field || entry.says(field)) return number
      number = this.#beforeField[number & mask] as number
    }
    return -1
  }

  /** The number of an entry with that name, or -1. */
  findName({ hash, text }: FieldName): number {
    const mask = this.#names.length - 1
    if (mask < 0) return -1
    let number = this.#names[hash & mask] as number
    for (let steps = 0; steps < MOST_STEPS; steps++) {
      const entry = this.#table.entry(number)
      if (entry === undefined) return -1
      if (entry.name === text) return number
      number = this.#beforeName[number & mask] as number
    }
    return -1
  }

  /** The entry with that number was just added to the table. */
  add(number: number): void {
    if (this.#fields.length === this.#table.capacity) this.#link(number)
    else this.#rebuild(number)
  }

  #link(number: number): void {
    const entry = this.#table.entry(number)
    if (entry === undefined) return
    const mask = this.#fields.length - 1
    this.#beforeField[number & mask] = this.#fields[entry.hash & mask] as number
    this.#fields[entry.hash & mask] = number
    this.#beforeName[number & mask] = this.#names[entry.known.hash & mask] as number
    this.#names[entry.known.hash & mask] = number
  }

  #rebuild(newest: number): void {
    const { capacity, count } = this.#table
    this.#fields = none(capacity)
    this.#beforeField = none(capacity)
    this.#names = none(capacity)
    this.#beforeName = none(capacity)
    for (let number = newest - count + 1; number <= newest; number++) this.#link(number)
  }
}

function none(length: number): number[] {
  return Array.from({ length }, () => -1)
}
