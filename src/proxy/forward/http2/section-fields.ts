/**
 * Sorts the fields of an HTTP/2 section as `FieldSection` does with lines: what somebody looks at has a slot, what belongs
 * to one hop or is ours to set is left out, the rest is handed on. One object serves very many sections.
 */
import { type FieldTable, FORWARDED } from '../../../codec/http1/field-table.ts'
import type { HeaderField } from '../../../codec/http2/header-field.ts'
import type { FieldList } from './field-list.ts'

export class SectionFields {
  /** By slot; several of one name joined by commas, '' where there is none. */
  readonly values: string[]
  /** Bits of slots that came, and that came more than once. */
  seen = 0
  repeated = 0
  readonly #table: FieldTable

  constructor(table: FieldTable) {
    this.#table = table
    this.values = Array.from({ length: table.size }, () => '')
  }

  /** Adds what is handed on to `forwarded`. */
  sort(fields: readonly HeaderField[], forwarded: FieldList): void {
    this.#empty()
    for (let index = 0; index < fields.length; index++) {
      const field = fields[index] as HeaderField
      const place = this.#table.placeOf(field.known)
      if (place >= 0 ? this.#take(place, field) : place === FORWARDED) forwarded.add(field)
    }
  }

  /** Slot by slot: `fill` is a call into V8's runtime, for one or two of some twenty. */
  #empty(): void {
    for (let slot = 0; this.seen !== 0; slot++, this.seen >>>= 1)
      if ((this.seen & 1) !== 0) this.values[slot] = ''
    this.repeated = 0
  }

  /** Whether it is handed on as well. */
  #take(slot: number, { value }: HeaderField): boolean {
    const bit = 1 << slot
    if ((this.seen & bit) === 0) this.values[slot] = value
    else {
      this.repeated |= bit
      this.values[slot] += `, ${value}`
    }
    this.seen |= bit
    return this.#table.rules[slot]?.forward === true
  }
}
