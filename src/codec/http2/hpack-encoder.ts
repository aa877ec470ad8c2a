/** HPACK, writing (RFC 7541). One a connection and direction. */
import { DynamicTable } from './dynamic-table.ts'
import { EntryIndex } from './entry-index.ts'
import type { FieldName } from './field-name.ts'
import { type HeaderField, INDEXED, NEVER, PLAIN } from './header-field.ts'
import { DEFAULT_TABLE_SIZE } from './hpack-decoder.ts'
import { encodeHuffman, HUFFMAN_LONGER, huffmanLength } from './huffman.ts'
import { STATIC_ENTRIES } from './static-table.ts'

/** A block begins with two sizes of the table. A field takes at most an octet and three integers beside its text. */
const MOST_SIZES = 12

/** Forms of integers (RFC 7541 §5.1, §6): the first octet, and behind it the bits that it has left for one. */
const INDEX = 0x80_7f
const TABLE_SIZE = 0x20_1f
const LITERAL_INDEXED = 0x40_3f
const LITERAL_PLAIN = 0x00_0f
const LITERAL_NEVER = 0x10_0f
const PLAIN_TEXT = 0x00_7f
const HUFFMAN_TEXT = 0x80_7f
/** Texts whose length fits into the first octet, however they are written. */
const MOST_SHORT = 0x7e

/** Up to here a call of `write` takes longer than a loop. */
const MOST_BY_OCTET = 24

export class HpackEncoder {
  /** Octets of the table that we use at most, whatever the other end allows: it costs us memory as well. */
  readonly #most: number
  readonly #table: DynamicTable
  readonly #entries: EntryIndex
  /** Smallest and last size of the table that the other end was not told yet (§4.2); -1 for none. */
  #smallest = -1
  #announce = -1

  constructor(most: number = DEFAULT_TABLE_SIZE) {
    this.#most = most
    this.#table = new DynamicTable(DEFAULT_TABLE_SIZE)
    this.#entries = new EntryIndex(this.#table)
    if (most < DEFAULT_TABLE_SIZE) this.#resize(most)
  }

  /** What the other end's SETTINGS_HEADER_TABLE_SIZE says. */
  setLimit(octets: number): void {
    const size = Math.min(octets, this.#most)
    if (size !== this.#table.limit) this.#resize(size)
  }

  /** Octets that a block of these fields takes at most: a size has 32 of them beside the text. */
  static mostOctets(fields: readonly HeaderField[]): number {
    let octets = MOST_SIZES
    for (let index = 0; index < fields.length; index++)
      octets += (fields[index] as HeaderField).size
    return octets
  }

  /** Writes a header block into `into` from `at` on, where there is room for `mostOctets`; returns the position behind it. */
  encode(fields: readonly HeaderField[], into: Buffer, at: number): number {
    let to = this.#announce < 0 ? at : this.#sizes(into, at)
    for (let index = 0; index < fields.length; index++)
      to = this.#field(fields[index] as HeaderField, into, to)
    return to
  }

  #resize(size: number): void {
    this.#table.resize(size)
    this.#smallest = this.#smallest < 0 ? size : Math.min(size, this.#smallest)
    this.#announce = size
  }

  #sizes(into: Buffer, at: number): number {
    let to = at
    if (this.#smallest < this.#announce) to = integer(into, to, TABLE_SIZE, this.#smallest)
    to = integer(into, to, TABLE_SIZE, this.#announce)
    this.#smallest = -1
    this.#announce = -1
    return to
  }

  #field(field: HeaderField, into: Buffer, at: number): number {
    if (field.indexing !== NEVER) {
      const index = this.#indexOf(field)
      if (index > 0) return integer(into, at, INDEX, index)
    }
    return this.#literal(field, into, at)
  }

  /** In the table that both ends have, 0 for none. What is not to be remembered is not looked for. */
  #indexOf(field: HeaderField): number {
    const fixed = field.staticIndex
    if (fixed > 0 || field.indexing !== INDEXED) return fixed
    const number = this.#entries.find(field)
    return number < 0 ? 0 : this.#table.indexOf(number) + STATIC_ENTRIES + 1
  }

  #indexOfName(name: FieldName): number {
    if (name.staticIndex > 0) return name.staticIndex
    const number = this.#entries.findName(name)
    return number < 0 ? 0 : this.#table.indexOf(number) + STATIC_ENTRIES + 1
  }

  #literal(field: HeaderField, into: Buffer, at: number): number {
    // Before it is added: what it evicts may be the entry that has its name.
    const nameIndex = this.#indexOfName(field.known)
    const form = this.#remember(field)
    let to = integer(into, at, form, nameIndex)
    // Huffman is worth its time where the text is written once and then remembered.
    const write = form === LITERAL_INDEXED ? shortestText : plainText
    if (nameIndex === 0) to = write(field.name, into, to)
    return write(field.value, into, to)
  }

  /** A field that is larger than the table would only empty it. */
  #remember(field: HeaderField): number {
    if (field.indexing === NEVER) return LITERAL_NEVER
    if (field.indexing === PLAIN || field.size > this.#table.limit) return LITERAL_PLAIN
    this.#entries.add(this.#table.add(field))
    return LITERAL_INDEXED
  }
}

function integer(into: Buffer, at: number, form: number, value: number): number {
  const first = form >> 8
  const most = form & 0xff
  if (value < most) {
    into[at] = first | value
    return at + 1
  }
  into[at] = first | most
  let to = at + 1
  let rest = value - most
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) into[to++] = (rest & 0x7f) | 0x80
  into[to] = rest
  return to + 1
}

function plainText(value: string, into: Buffer, at: number): number {
  const { length } = value
  const to = integer(into, at, PLAIN_TEXT, length)
  if (length > MOST_BY_OCTET) return to + into.write(value, to, 'latin1')
  for (let index = 0; index < length; index++) into[to + index] = value.charCodeAt(index)
  return to + length
}

/** Huffman or not, whichever is shorter. */
function shortestText(value: string, into: Buffer, at: number): number {
  const { length } = value
  if (length <= MOST_SHORT) {
    const end = encodeHuffman(value, into, at + 1, at + length)
    if (end !== HUFFMAN_LONGER) {
      into[at] = (HUFFMAN_TEXT >> 8) | (end - at - 1)
      return end
    }
  } else {
    const octets = huffmanLength(value)
    const to = integer(into, at, HUFFMAN_TEXT, octets)
    if (octets < length) return encodeHuffman(value, into, to, to + octets)
  }
  return plainText(value, into, at)
}
