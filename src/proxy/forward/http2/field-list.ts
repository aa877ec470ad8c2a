/**
 * Fields of one section after the other, in one array. Most have as many as the one before, so what is there is written over
 * and the rest cut off. To set the length of an array is a call into V8's runtime, which gives the memory back as well, and
 * costs as much as fifty fields.
 */
import type { HeaderField } from '../../../codec/http2/header-field.ts'

export class FieldList {
  readonly #fields: HeaderField[] = []
  #count = 0

  /** Of the next section; what `end` gave last is not to be used any more. */
  begin(): void {
    this.#count = 0
  }

  add(field: HeaderField): void {
    this.#fields[this.#count++] = field
  }

  addAll(fields: readonly HeaderField[]): void {
    for (let index = 0; index < fields.length; index++) this.add(fields[index] as HeaderField)
  }

  /** All that were added since `begin`. */
  end(): readonly HeaderField[] {
    while (this.#fields.length > this.#count) this.#fields.pop()
    return this.#fields
  }
}
