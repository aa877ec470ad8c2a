/**
 * The field names that somebody looks at, each with a slot for its value and whether its line is forwarded as it came.
 * The codec's own fields come first, so that their slots are constants; callers add theirs behind them.
 */
import { FIELD_NAME_FOLD } from './characters.ts'

export interface FieldRule {
  /** In lower case. */
  readonly name: string
  /** Whether the line stays among the forwarded ones; what is not forwarded is written anew by the proxy, or not at all. */
  readonly forward: boolean
}

/** Fields that frame the message or belong to one hop (RFC 9110 §7.6): their lines are never forwarded as they came. */
const HOP_FIELDS = [
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'upgrade',
  'te',
  'trailer',
  'keep-alive',
  'proxy-connection',
  'expect',
  'proxy-authenticate',
  'proxy-authorization',
  'http2-settings',
  'max-forwards',
] as const

/** Slots of the codec's own fields. */
export const SLOT = {
  host: 0,
  contentLength: 1,
  transferEncoding: 2,
  connection: 3,
  upgrade: 4,
  te: 5,
  trailer: 6,
  keepAlive: 7,
  proxyConnection: 8,
  expect: 9,
  maxForwards: 13,
} as const

/** Places of names without a slot. */
export const FORWARDED = -1
export const DROPPED = -2

/** Slots are bits of one number. */
const MAX_SLOTS = 31
const MAX_PLACES = 4_096
/** Names whose places are remembered: a power of two, so many that those of one call seldom have the same. */
const PLACED = 1_024
const MOST_PLACED_CHARS = 64

/** A name in lower case that whoever asks for it has one object of, as HTTP/2 has. */
export interface HashedName {
  readonly text: string
  readonly hash: number
}

export class FieldTable {
  readonly rules: readonly FieldRule[]
  readonly #droppedPrefixes: readonly Uint8Array[]
  readonly #prefixes: readonly string[]
  readonly #byName: ReadonlyMap<string, number>
  /** Names that were asked for lately, each where its hash says, and their places. */
  readonly #placed = Array.from<HashedName | undefined>({ length: PLACED })
  readonly #places = new Int8Array(PLACED)
  readonly #names: readonly Uint8Array[]
  /** Slot by the low bits of the hash, or -1; so large that no two names share a place. */
  readonly #slots: Int8Array
  readonly #mask: number

  /**
   * Lines whose names begin with one of `droppedPrefixes` (lower case) are dropped whatever follows it.
   * Throws where two names collide or there are too many: a mistake of the program, not of a peer.
   */
  constructor(rules: readonly FieldRule[], droppedPrefixes: readonly string[] = []) {
    this.rules = [...HOP_FIELDS.map(name => ({ name, forward: false })), ...rules]
    if (this.rules.length > MAX_SLOTS)
      throw new RangeError(`${this.rules.length} fields, at most ${MAX_SLOTS}`)
    this.#names = this.rules.map(rule => Buffer.from(rule.name, 'latin1'))
    this.#byName = new Map(this.rules.map(({ name }, slot) => [name, slot]))
    this.#prefixes = droppedPrefixes
    this.#droppedPrefixes = droppedPrefixes.map(prefix => Buffer.from(prefix, 'latin1'))
    this.#slots = placeNames(this.#names)
    this.#mask = this.#slots.length - 1
  }

  get size(): number {
    return this.rules.length
  }

  /** Slot of a field by name, for callers at start-up. */
  slotOf(name: string): number {
    const slot = this.rules.findIndex(rule => rule.name === name)
    if (slot < 0) throw new RangeError(`field ${name} is not in the table`)
    return slot
  }

  /**
   * Slot of a name in lower case; FORWARDED where it has none, DROPPED where its field must not pass: it begins with a
   * dropped prefix, or an application could take it for one of the table's (`content_length`).
   */
  placeOf(name: HashedName): number {
    const at = name.hash & (PLACED - 1)
    return this.#placed[at] === name ? (this.#places[at] as number) : this.#remember(name, at)
  }

  /** Whoever makes up names makes us find their places again, no more. */
  #remember(name: HashedName, at: number): number {
    const place = this.#placeOf(name.text)
    if (name.text.length > MOST_PLACED_CHARS) return place
    this.#placed[at] = name
    this.#places[at] = place
    return place
  }

  #placeOf(name: string): number {
    const slot = this.#byName.get(name)
    if (slot !== undefined) return slot
    const folded = name.includes('_') ? name.replaceAll('_', '-') : name
    if (folded !== name && this.#byName.has(folded)) return DROPPED
    for (const prefix of this.#prefixes) if (folded.startsWith(prefix)) return DROPPED
    return FORWARDED
  }

  /** Slot of the name in `bytes[start, end)` whose folded hash is `hash`, or -1. */
  find(hash: number, bytes: Uint8Array, start: number, end: number): number {
    const slot = this.#slots[hash & this.#mask] as number
    if (slot < 0) return -1
    const name = this.#names[slot] as Uint8Array
    return name.length === end - start && foldedEquals(name, bytes, start) ? slot : -1
  }

  /** Whether the name in `bytes[start, end)` begins with a dropped prefix. */
  hasDroppedPrefix(bytes: Uint8Array, start: number, end: number): boolean {
    for (const prefix of this.#droppedPrefixes) {
      if (end - start >= prefix.length && foldedEquals(prefix, bytes, start)) return true
    }
    return false
  }
}

/** A table in which every name has a place by its hash alone. Throws where there is none of a sensible size. */
function placeNames(names: readonly Uint8Array[]): Int8Array {
  for (let size = 64; size <= MAX_PLACES; size *= 2) {
    const slots = new Int8Array(size).fill(-1)
    const free = names.every((name, slot) => {
      const place = hashName(name, 0, name.length) & (size - 1)
      if (slots[place] !== -1) return false
      slots[place] = slot
      return true
    })
    if (free) return slots
  }
  throw new RangeError('two fields collide with each other')
}

/** One step of the hash over folded names; kept in 30 bits, so that it stays a small integer. */
export function hashStep(hash: number, folded: number): number {
  return (Math.imul(hash, 31) + folded) & 0x3fffffff
}

function hashName(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0
  for (let at = start; at < end; at++)
    hash = hashStep(hash, FIELD_NAME_FOLD[bytes[at] as number] as number)
  return hash
}

function foldedEquals(name: Uint8Array, bytes: Uint8Array, start: number): boolean {
  for (let at = 0; at < name.length; at++) {
    if (FIELD_NAME_FOLD[bytes[start + at] as number] !== name[at]) return false
  }
  return true
}
