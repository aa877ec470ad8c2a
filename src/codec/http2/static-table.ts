/** The static table of HPACK as fields (RFC 7541 appendix A). */
import { HeaderField, INDEXED } from './header-field.ts'
import { STATIC_PAIRS } from './static-pairs.ts'

/** By index; there is none with index 0. */
export const STATIC_TABLE: readonly (HeaderField | undefined)[] = [
  undefined,
  ...STATIC_PAIRS.map(([name, value]) => new HeaderField(name, value, INDEXED)),
]
export const STATIC_ENTRIES = STATIC_PAIRS.length
