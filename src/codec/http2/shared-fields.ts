/**
 * One object for fields that say the same in tables of many connections: what is known of one is known of all of them, an
 * encoder finds it by looking at the object alone, and it is in the caches. For each table it is looked for once.
 */
import type { HeaderField } from './header-field.ts'

/** A power of two. */
const SLOTS = 1_024
/** In a table. Larger ones are seldom the same elsewhere. */
const MOST_OCTETS = 256

export class SharedFields {
  /** By hash; who comes last has the place. */
  readonly #fields = Array.from<HeaderField | undefined>({ length: SLOTS })

  /** One that says the same as `field` and came before it, else `field`. */
  same(field: HeaderField): HeaderField {
    if (field.size > MOST_OCTETS) return field
    const at = field.hash & (SLOTS - 1)
    const known = this.#fields[at]
    if (known?.indexing === field.indexing && known.says(field)) return known
    this.#fields[at] = field
    return field
  }
}
