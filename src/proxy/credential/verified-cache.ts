import { flatCopy } from '../../codec/latin1.ts'

export interface CacheLimits {
  readonly maxEntries: number
  /** Of all keys together: a token may be 16 KiB long. */
  readonly maxKeyBytes: number
}

interface Entry<V> {
  readonly credential: string
  value: V
}

/**
 * What was found out about credentials. An entry holds the whole credential, and is found by a print of it: V8 hashes and
 * internalizes a text that a map is asked for, which takes twice as long as to compare it with the one that it must be
 * (`npm run bench:micro -- jwt-known`). Two credentials of one print push each other out, and are never taken for each other.
 *
 * Two generations bound it without bookkeeping at each hit: when the young one holds half of what is allowed it becomes the
 * old one, and what is used again moves back.
 */
export class VerifiedCache<V> {
  readonly #limits: CacheLimits
  #young = new Map<number, Entry<V>>()
  #old = new Map<number, Entry<V>>()
  #youngBytes = 0
  #oldBytes = 0
  /** Lookups that found an entry, since the owner last set it to 0. */
  hits = 0
  /** Lookups that found none. */
  misses = 0
  #dropped = 0

  constructor(limits: CacheLimits) {
    this.#limits = limits
  }

  /** Entries held; one that moved to the young generation counts twice until the old one goes. */
  get size(): number {
    return this.#young.size + this.#old.size
  }

  get keyBytes(): number {
    return this.#youngBytes + this.#oldBytes
  }

  get(credential: string): V | undefined {
    const print = printOf(credential)
    const young = this.#young.get(print)
    if (young !== undefined && young.credential === credential) {
      this.hits += 1
      return young.value
    }
    const old = this.#old.get(print)
    if (old === undefined || old.credential !== credential) {
      this.misses += 1
      return undefined
    }
    this.hits += 1
    this.set(credential, old.value)
    return old.value
  }

  /** A credential that is no Latin-1 text, or alone longer than a generation may be, is not kept. */
  set(credential: string, value: V): void {
    const generationBytes = this.#limits.maxKeyBytes / 2
    if (credential.length > generationBytes) return
    const print = printOf(credential)
    const present = this.#young.get(print)
    if (present?.credential === credential) {
      present.value = value
      return
    }
    const copy = flatCopy(credential)
    if (copy === undefined) return
    if (present !== undefined) {
      this.#young.delete(print)
      this.#youngBytes -= present.credential.length
      this.#dropped += 1
    }
    if (
      this.#young.size + 1 > this.#limits.maxEntries / 2 ||
      this.#youngBytes + copy.length > generationBytes
    ) {
      this.#dropped += this.#old.size
      this.#old = this.#young
      this.#oldBytes = this.#youngBytes
      this.#young = new Map()
      this.#youngBytes = 0
    }
    this.#young.set(print, { credential: copy, value })
    this.#youngBytes += copy.length
  }

  /** Entries that went for want of room, since the last time; one that had moved to the young generation counts as well. */
  takeDropped(): number {
    const dropped = this.#dropped
    this.#dropped = 0
    return dropped
  }

  delete(credential: string): void {
    const print = printOf(credential)
    if (this.#young.get(print)?.credential === credential) {
      this.#young.delete(print)
      this.#youngBytes -= credential.length
    }
    if (this.#old.get(print)?.credential === credential) {
      this.#old.delete(print)
      this.#oldBytes -= credential.length
    }
  }

  clear(): void {
    this.#young.clear()
    this.#old.clear()
    this.#youngBytes = 0
    this.#oldBytes = 0
  }
}

/** Where credentials differ: signature, random part or checksum. */
const PRINTED_CHARS = 8

/** Of length and end, in 30 bits, which are a small integer. */
function printOf(credential: string): number {
  let print = credential.length
  for (let at = Math.max(0, credential.length - PRINTED_CHARS); at < credential.length; at++)
    print = Math.imul(print, 31) + credential.charCodeAt(at)
  return print & 0x3fffffff
}
