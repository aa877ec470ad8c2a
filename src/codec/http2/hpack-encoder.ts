/** HPACK, writing (RFC 7541). One a connection and direction. */
import { DynamicTable } from './dynamic-table.ts'
import { type HeaderField, INDEXED, type Indexing, NEVER, PLAIN } from './header-field.ts'
import { DEFAULT_TABLE_SIZE } from './hpack-decoder.ts'
import { encodeHuffman, huffmanLength } from './huffman.ts'
import { STATIC_ENTRIES, STATIC_TABLE } from './static-table.ts'

/** Beyond its text, a field takes at most an octet and three integers; a block begins with two sizes of the table. */
const MOST_BESIDE_TEXT = 16
const MOST_SIZES = 12

interface Form {
  readonly first: number
  readonly prefix: number
}

const INDEX: Form = { first: 0x80, prefix: 0x7f }
const TABLE_SIZE: Form = { first: 0x20, prefix: 0x1f }
const PLAIN_TEXT: Form = { first: 0x00, prefix: 0x7f }
const HUFFMAN_TEXT: Form = { first: 0x80, prefix: 0x7f }
/** Of a literal, by its indexing (RFC 7541 §6.2). */
const LITERALS: Readonly<Record<Indexing, Form>> = {
  [PLAIN]: { first: 0x00, prefix: 0x0f },
  [INDEXED]: { first: 0x40, prefix: 0x3f },
  [NEVER]: { first: 0x10, prefix: 0x0f },
}

const STATIC_KEYS = new Map<string, number>()
const STATIC_NAMES = new Map<string, number>()
for (const [index, field] of STATIC_TABLE.entries()) {
  if (field === undefined) continue
  if (!STATIC_KEYS.has(field.key)) STATIC_KEYS.set(field.key, index)
  if (!STATIC_NAMES.has(field.name)) STATIC_NAMES.set(field.name, index)
}

export class HpackEncoder {
  /** Octets of the table that we use at most, whatever the other end allows: it costs us memory as well. */
  readonly #most: number
  readonly #table: DynamicTable
  /** Numbers of entries in the table, by what they say and by their name; of several the newest. */
  readonly #keys = new Map<string, number>()
  readonly #names = new Map<string, number>()
  /** Smallest and last size of the table that the other end was not told yet (§4.2). */
  #smallest: number | undefined
  #announce: number | undefined

  constructor(most: number = DEFAULT_TABLE_SIZE) {
    this.#most = most
    this.#table = new DynamicTable(DEFAULT_TABLE_SIZE, (field, number) => {
      if (this.#keys.get(field.key) === number) this.#keys.delete(field.key)
      if (this.#names.get(field.name) === number) this.#names.delete(field.name)
    })
    if (most < DEFAULT_TABLE_SIZE) this.#resize(most)
  }

  /** What the other end's SETTINGS_HEADER_TABLE_SIZE says. */
  setLimit(octets: number): void {
    const size = Math.min(octets, this.#most)
    if (size !== this.#table.limit) this.#resize(size)
  }

  /** Octets that a block of these fields takes at most. */
  static mostOctets(fields: readonly HeaderField[]): number {
    let octets = MOST_SIZES
    for (const { name, value } of fields) octets += name.length + value.length + MOST_BESIDE_TEXT
    return octets
  }

  /** Writes a header block into `into` from `at` on, where there is room for `mostOctets`; returns the position behind it. */
  encode(fields: readonly HeaderField[], into: Buffer, at: number): number {
    let to = this.#sizes(into, at)
    for (const field of fields) to = this.#field(field, into, to)
    return to
  }

  #resize(size: number): void {
    this.#table.resize(size)
    this.#smallest = Math.min(size, this.#smallest ?? size)
    this.#announce = size
  }

  #sizes(into: Buffer, at: number): number {
    if (this.#announce === undefined || this.#smallest === undefined) return at
    let to = at
    if (this.#smallest < this.#announce) to = integer(into, to, TABLE_SIZE, this.#smallest)
    to = integer(into, to, TABLE_SIZE, this.#announce)
    this.#smallest = undefined
    this.#announce = undefined
    return to
  }

  #field(field: HeaderField, into: Buffer, at: number): number {
    const { name, value, indexing } = field
    if (indexing !== NEVER) {
      const index = this.#indexOf(field)
      if (index !== 0) return integer(into, at, INDEX, index)
    }
    // Before it is added: what it evicts may be the entry that has its name.
    const nameIndex = this.#indexOfName(name)
    const added = indexing === INDEXED ? this.#add(field) : indexing
    const to = integer(into, at, LITERALS[added], nameIndex)
    return text(value, into, nameIndex === 0 ? text(name, into, to) : to)
  }

  /** In the table that both ends have, 0 for none. */
  #indexOf(field: HeaderField): number {
    const fixed = STATIC_KEYS.get(field.key)
    if (fixed !== undefined) return fixed
    const number = this.#keys.get(field.key)
    return number === undefined ? 0 : this.#table.indexOf(number) + STATIC_ENTRIES + 1
  }

  #indexOfName(name: string): number {
    const fixed = STATIC_NAMES.get(name)
    if (fixed !== undefined) return fixed
    const number = this.#names.get(name)
    return number === undefined ? 0 : this.#table.indexOf(number) + STATIC_ENTRIES + 1
  }

  /** A field that is larger than the table would only empty it. */
  #add(field: HeaderField): Indexing {
    if (field.size > this.#table.limit) return PLAIN
    const number = this.#table.add(field)
    this.#keys.set(field.key, number)
    this.#names.set(field.name, number)
    return INDEXED
  }
}

/** `first` is the first octet of such an integer, whose low bits hold it as far as they go. */
function integer(into: Buffer, at: number, { first, prefix }: Form, value: number): number {
  if (value < prefix) {
    into[at] = first | value
    return at + 1
  }
  into[at] = first | prefix
  let to = at + 1
  let rest = value - prefix
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) into[to++] = (rest & 0x7f) | 0x80
  into[to] = rest
  return to + 1
}

/** Whichever is shorter. */
function text(value: string, into: Buffer, at: number): number {
  const length = huffmanLength(value)
  if (length < value.length)
    return encodeHuffman(value, into, integer(into, at, HUFFMAN_TEXT, length))
  const to = integer(into, at, PLAIN_TEXT, value.length)
  return to + into.write(value, to, 'latin1')
}
