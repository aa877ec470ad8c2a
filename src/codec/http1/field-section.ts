/**
 * Reads a field section (RFC 9112 §5): the lines behind a start line, or a trailer section.
 * A pass over the bytes checks every one of them and notes where names and values are; text is made once, at the end,
 * and only from what somebody looks at. All other lines stay one slice of the text.
 */
import type { ErrorCode } from '../../core/errors.ts'
import { DEFAULT_CAPS } from './caps.ts'
import { COLON, CR, FIELD_NAME_FOLD, FIELD_VALUE, HTAB, LF, SP, UNDERSCORE } from './characters.ts'
import { type FieldTable, hashStep } from './field-table.ts'
import { PlainWords } from './plain-words.ts'

const COLUMNS = 5
const [NAME_START, NAME_END, NAME_HASH, VALUE_START, VALUE_END] = [0, 1, 2, 3, 4] as const

/** Results of a scan besides a position. */
export const INCOMPLETE = 0
export const INVALID = -1

export class FieldSection {
  /** By slot of the table: the value, the values joined by `, ` where a field came more than once, or ''. */
  readonly values: string[]
  /** Bits of the slots that came at all, and of those that came more than once. */
  seen = 0
  repeated = 0
  /** Lines to forward as they came, each with its CRLF. */
  lines = ''
  /** Why the last scan was INVALID. */
  error: ErrorCode = 'malformed_field'

  readonly #table: FieldTable
  readonly #maxFields: number
  readonly #offsets: Int32Array
  readonly #words = new PlainWords()
  #count = 0

  constructor(table: FieldTable, maxFields: number = DEFAULT_CAPS.fields) {
    this.#table = table
    this.#maxFields = maxFields
    this.#offsets = new Int32Array(maxFields * COLUMNS)
    this.values = Array.from({ length: table.size }, () => '')
  }

  /**
   * Checks the section that begins at `start`. Returns the position behind its empty line, INCOMPLETE where `end` comes
   * first, or INVALID with `error` set. What it found is there after `collect`.
   */
  scan(bytes: Uint8Array, start: number, end: number): number {
    this.#count = 0
    let at = start
    for (;;) {
      if (at >= end) return INCOMPLETE
      if (bytes[at] === CR) {
        if (at + 1 >= end) return INCOMPLETE
        return bytes[at + 1] === LF ? at + 2 : this.#invalid('malformed_field')
      }
      if (this.#count === this.#maxFields) return this.#invalid('too_many_fields')
      at = this.#scanLine(bytes, at, end)
      if (at <= 0) return at
    }
  }

  /** One field line; the position behind its CRLF, INCOMPLETE or INVALID. */
  #scanLine(bytes: Uint8Array, start: number, end: number): number {
    let at = start
    let hash = 0
    for (;;) {
      if (at >= end) return INCOMPLETE
      const folded = FIELD_NAME_FOLD[bytes[at] as number] as number
      // Also refuses obs-fold (a line that begins with a blank) and a blank before the colon: RFC 9112 §5.1, §5.2.
      if (folded === 0) break
      hash = hashStep(hash, folded)
      at++
    }
    if (bytes[at] !== COLON || at === start) return this.#invalid('malformed_field')
    const offsets = this.#offsets
    const row = this.#count * COLUMNS
    offsets[row + NAME_START] = start
    offsets[row + NAME_END] = at
    offsets[row + NAME_HASH] = hash
    at++
    while (at < end && (bytes[at] === SP || bytes[at] === HTAB)) at++
    offsets[row + VALUE_START] = at
    at = this.#words.plainUntil(bytes, at, end)
    while (at < end && FIELD_VALUE[bytes[at] as number] === 1) at++
    if (at >= end) return INCOMPLETE
    if (bytes[at] !== CR) return this.#invalid('malformed_field')
    if (at + 1 >= end) return INCOMPLETE
    if (bytes[at + 1] !== LF) return this.#invalid('malformed_field')
    offsets[row + VALUE_END] = at
    this.#count++
    return at + 2
  }

  /**
   * Fills `values`, `seen`, `repeated` and `lines` from the section just scanned. `text` is the Latin-1 text of
   * `bytes` from position `base` on, up to the end of the section.
   */
  collect(bytes: Uint8Array, text: string, base: number): void {
    const offsets = this.#offsets
    // A loop: `fill` leaves compiled code for the runtime, which costs more than the few slots (0.4 % of a call).
    for (let slot = 0; slot < this.values.length; slot++) this.values[slot] = ''
    this.seen = 0
    this.repeated = 0
    this.lines = ''
    let kept = this.#count === 0 ? 0 : (offsets[NAME_START] as number)
    let lineEnd = kept
    for (let row = 0; row < this.#count * COLUMNS; row += COLUMNS) {
      const start = offsets[row + NAME_START] as number
      lineEnd = (offsets[row + VALUE_END] as number) + 2
      if (this.#take(bytes, text, base, row)) continue
      if (start > kept) this.lines += text.slice(kept - base, start - base)
      kept = lineEnd
    }
    if (lineEnd > kept) this.lines += text.slice(kept - base, lineEnd - base)
  }

  /** Notes the value if somebody looks at the field; returns whether its line is forwarded. */
  #take(bytes: Uint8Array, text: string, base: number, row: number): boolean {
    const offsets = this.#offsets
    const start = offsets[row + NAME_START] as number
    const end = offsets[row + NAME_END] as number
    const slot = this.#table.find(offsets[row + NAME_HASH] as number, bytes, start, end)
    if (slot < 0) return !this.#table.hasDroppedPrefix(bytes, start, end)
    // `content_length` is nobody's field, but what an application could take for ours does not pass.
    for (let at = start; at < end; at++) if (bytes[at] === UNDERSCORE) return false
    let valueEnd = offsets[row + VALUE_END] as number
    const valueStart = offsets[row + VALUE_START] as number
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === HTAB))
      valueEnd--
    const value = text.slice(valueStart - base, valueEnd - base)
    const bit = 1 << slot
    if ((this.seen & bit) === 0) {
      this.seen |= bit
      this.values[slot] = value
    } else {
      this.repeated |= bit
      this.values[slot] += `, ${value}`
    }
    return this.#table.rules[slot]?.forward === true
  }

  /** `lines` without the fields whose names (lower case) are in `names`: those that `Connection` names. */
  linesWithout(names: ReadonlySet<string>): string {
    let rest = ''
    for (let at = 0; at < this.lines.length; ) {
      const next = this.lines.indexOf('\r\n', at) + 2
      const name = this.lines.slice(at, this.lines.indexOf(':', at)).toLowerCase()
      if (!names.has(name)) rest += this.lines.slice(at, next)
      at = next
    }
    return rest
  }

  #invalid(error: ErrorCode): number {
    this.error = error
    return INVALID
  }
}
