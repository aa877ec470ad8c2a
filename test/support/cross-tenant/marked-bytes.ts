/**
 * Bytes that say whose they are: every 64 of them carry the secret marker of a tenant, the nonce of a call and the
 * direction, so that no piece of a stream can stand in for one of another tenant, call or direction.
 */
const BLOCK_BYTES = 64
const SCRATCH = Buffer.allocUnsafeSlow(64 * 1024 + BLOCK_BYTES)

export type Direction = 'request' | 'answer'

/** One endless stream of such bytes, to write or to compare with, from its beginning on. */
export class MarkedBytes {
  /** Bytes given out or compared so far. */
  offset = 0
  readonly #block: Buffer

  constructor(marker: string, nonce: string, direction: Direction) {
    const text = `${marker}|${nonce}|${direction}|`
    if (text.length > BLOCK_BYTES) throw new RangeError(`too long for a block: ${text}`)
    this.#block = Buffer.from(text.padEnd(BLOCK_BYTES, '.'), 'latin1')
  }

  next(length: number): Buffer {
    const shift = this.offset % BLOCK_BYTES
    this.offset += length
    const block = this.#block
    const rotated =
      shift === 0 ? block : Buffer.concat([block.subarray(shift), block.subarray(0, shift)])
    return Buffer.allocUnsafe(length).fill(rotated)
  }

  /** Whether `bytes[start, end)` are the next ones. */
  matches(bytes: Buffer, start: number, end: number): boolean {
    let at = start
    while (at < end) {
      const shift = this.offset % BLOCK_BYTES
      const length = Math.min(end - at, SCRATCH.length - BLOCK_BYTES)
      SCRATCH.fill(this.#block, 0, shift + length)
      if (bytes.compare(SCRATCH, shift, shift + length, at, at + length) !== 0) return false
      this.offset += length
      at += length
    }
    return true
  }
}
