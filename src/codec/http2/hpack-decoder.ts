/** HPACK, reading (RFC 7541). One a connection and direction, because its table is the state of both ends. */
import { DynamicTable } from './dynamic-table.ts'
import { type FieldName, fieldName } from './field-name.ts'
import { HeaderField, INDEXED, type Indexing, NEVER, PLAIN } from './header-field.ts'
import { decodeHuffman, HUFFMAN_INVALID, mostDecoded } from './huffman.ts'
import { RecentValues } from './recent-values.ts'
import { SharedFields } from './shared-fields.ts'
import { STATIC_ENTRIES, STATIC_TABLE } from './static-table.ts'

/** SETTINGS_HEADER_TABLE_SIZE by default, in octets (RFC 9113 §6.5.2). */
export const DEFAULT_TABLE_SIZE = 4_096
/** No index and no length of ours is larger, and an integer of more octets is an attack on whoever reads it. */
const MAX_INTEGER = 2 ** 28 - 1
const MAX_INTEGER_OCTETS = 5

/** Text is decoded here, unless it is longer. */
const SCRATCH = Buffer.allocUnsafeSlow(16 * 1024)

/** Those of all connections: a field is the same whoever sends it. */
export const RECENT_VALUES = new RecentValues()
const SHARED_FIELDS = new SharedFields()

export interface HpackCaps {
  /** Octets of the dynamic table that the other end may use: what our SETTINGS_HEADER_TABLE_SIZE says. */
  readonly tableSize: number
  /** Octets of a header list, as SETTINGS_MAX_HEADER_LIST_SIZE counts them. */
  readonly listSize: number
  /** Fields of a header list. */
  readonly fields: number
}

export class HpackDecoder {
  /** What the last block said, in its order; valid until the next one. */
  readonly fields: HeaderField[] = []
  /** The last block had more than the caps allow: `fields` is not all of it. The tables are right, so the connection may go on. */
  tooLarge = false
  readonly #caps: HpackCaps
  readonly #table: DynamicTable
  /** What the other end may make of it; more than our setting says as long as it may not know that. */
  #most: number
  #mustShrink = false
  /** Position behind what was read last; -1 where that cannot be read. */
  #at = 0
  /** Whether the text that was passed over last is Huffman code. */
  #huffman = false

  /** `size`: of the table, until the other end says another one. */
  constructor(caps: HpackCaps, size: number = DEFAULT_TABLE_SIZE) {
    this.#caps = caps
    this.#most = Math.max(size, caps.tableSize)
    this.#table = new DynamicTable(size)
  }

  /** The other end knows our setting: where its table is larger, its next block has to begin with a size (RFC 7541 §4.2). */
  settle(): void {
    this.#most = this.#caps.tableSize
    this.#mustShrink = this.#table.limit > this.#most
  }

  /** Octets in the dynamic table. */
  get tableSize(): number {
    return this.#table.size
  }

  /**
   * Reads a whole header block. False: it cannot be read, and nothing after it (COMPRESSION_ERROR, RFC 9113 §4.3). It takes
   * no more memory than a small multiple of the block, and adds nothing to `fields` beyond the caps.
   */
  decode(block: Buffer, start: number, end: number): boolean {
    const { fields } = this
    const caps = this.#caps
    let count = 0
    let listSize = 0
    let whole = true
    this.#at = start
    let valid = this.#sizes(block, end)
    while (valid && this.#at < end) {
      const first = block[this.#at] as number
      const field = first >= 0x80 ? this.#indexed(block, end) : this.#literal(block, end, first)
      if (field === undefined) {
        valid = false
        break
      }
      listSize += field.size
      if (listSize > caps.listSize || count >= caps.fields) whole = false
      else fields[count++] = field
    }
    // Not emptied first: V8 would give its memory back and take new for each block.
    while (fields.length > count) fields.pop()
    this.tooLarge = !whole
    return valid
  }

  /** Sizes of the table come first or not at all (RFC 7541 §4.2). */
  #sizes(block: Buffer, end: number): boolean {
    while (this.#at < end && isTableSize(block[this.#at] as number))
      if (!this.#resize(block, end)) return false
    if (this.#mustShrink && this.#table.limit > this.#most) return false
    this.#mustShrink = false
    return true
  }

  #resize(block: Buffer, end: number): boolean {
    const size = this.#integer(block, end, 0x1f)
    if (size < 0 || size > this.#most) return false
    this.#table.resize(size)
    return true
  }

  #indexed(block: Buffer, end: number): HeaderField | undefined {
    const first = block[this.#at] as number
    if (first < 0xff) {
      this.#at += 1
      return this.#entry(first & 0x7f)
    }
    const index = this.#integer(block, end, 0x7f)
    return index < 0 ? undefined : this.#entry(index)
  }

  #entry(index: number): HeaderField | undefined {
    return index <= STATIC_ENTRIES
      ? STATIC_TABLE[index]
      : this.#table.at(index - STATIC_ENTRIES - 1)
  }

  #literal(block: Buffer, end: number, first: number): HeaderField | undefined {
    if (isTableSize(first)) return undefined
    const indexing = indexingOf(first)
    const index = this.#integer(block, end, indexing === INDEXED ? 0x3f : 0x0f)
    if (index < 0) return undefined
    const name = index === 0 ? this.#name(block, end) : this.#entry(index)?.known
    if (name === undefined) return undefined
    const field = this.#field(name, indexing, block, end)
    if (field === undefined || indexing !== INDEXED) return field
    const shared = SHARED_FIELDS.same(field)
    this.#table.add(shared)
    return shared
  }

  #field(name: FieldName, indexing: Indexing, block: Buffer, end: number): HeaderField | undefined {
    const length = this.#passText(block, end)
    if (length < 0) return undefined
    const at = this.#at
    const huffman = this.#huffman
    const recent = RecentValues.suits(length)
    const known = recent ? RECENT_VALUES.find(block, at - length, at) : undefined
    if (known?.huffman === huffman) {
      const { field } = known
      if (field.known === name && field.indexing === indexing) return field
    }
    const value = textOf(block, at - length, at, huffman)
    if (value === undefined) return undefined
    const field = new HeaderField(name, value, indexing)
    if (recent) RECENT_VALUES.keep({ field, huffman }, block, at - length, at)
    return field
  }

  #name(block: Buffer, end: number): FieldName | undefined {
    const length = this.#passText(block, end)
    if (length < 0) return undefined
    const text = textOf(block, this.#at - length, this.#at, this.#huffman)
    return text === undefined ? undefined : fieldName(text)
  }

  /** Passes over the text that is next (RFC 7541 §5.2); returns how many octets it has, or -1 where not all are in the block. */
  #passText(block: Buffer, end: number): number {
    if (this.#at >= end) return -1
    this.#huffman = (block[this.#at] as number) >= 0x80
    const length = this.#integer(block, end, 0x7f)
    if (length < 0 || length > end - this.#at) return -1
    this.#at += length
    return length
  }

  /** RFC 7541 §5.1; -1 where the block ends before it, or it is larger than any of ours. */
  #integer(block: Buffer, end: number, prefix: number): number {
    let value = (block[this.#at++] as number) & prefix
    if (value < prefix) return value
    let factor = 1
    for (let octets = 0; octets < MAX_INTEGER_OCTETS && this.#at < end; octets++) {
      const octet = block[this.#at++] as number
      value += (octet & 0x7f) * factor
      if (octet < 0x80) return value <= MAX_INTEGER ? value : -1
      factor *= 0x80
    }
    return -1
  }
}

/** RFC 7541 §5.2; undefined of what is no Huffman code. */
function textOf(block: Buffer, start: number, end: number, huffman: boolean): string | undefined {
  if (!huffman) return block.toString('latin1', start, end)
  const most = mostDecoded(end - start)
  const into = most <= SCRATCH.length ? SCRATCH : Buffer.allocUnsafeSlow(most)
  const decoded = decodeHuffman(block, start, end, into)
  return decoded === HUFFMAN_INVALID ? undefined : into.toString('latin1', 0, decoded)
}

function isTableSize(first: number): boolean {
  return (first & 0xe0) === 0x20
}

function indexingOf(first: number): Indexing {
  if (first >= 0x40) return INDEXED
  return first >= 0x10 ? NEVER : PLAIN
}
