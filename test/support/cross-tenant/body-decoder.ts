/** Takes the framing off a body, as it comes; apart from the proxy's own code, and without any tolerance. */
export type BodyFraming = 'none' | 'length' | 'chunked' | 'close'

/** Data is at `bytes[start, end)`. */
export type TakeData = (bytes: Buffer, start: number, end: number) => void

export class BodyDecoder {
  done: boolean
  /** Lines of a trailer section. */
  readonly trailers: string[] = []
  readonly #framing: BodyFraming
  #remaining: number
  #state: 'size' | 'data' | 'data end' | 'trailers' = 'size'
  #line = ''

  constructor(framing: BodyFraming, length = 0) {
    this.#framing = framing
    this.#remaining = length
    this.done = framing === 'none' || (framing === 'length' && length === 0)
  }

  /** Reads from `start` on; returns the position behind what belongs to the body. Throws where it is malformed. */
  read(bytes: Buffer, start: number, take: TakeData): number {
    if (this.done) return start
    if (this.#framing === 'chunked') return this.#readChunks(bytes, start, take)
    if (this.#framing === 'close') {
      take(bytes, start, bytes.length)
      return bytes.length
    }
    const end = Math.min(bytes.length, start + this.#remaining)
    this.#remaining -= end - start
    this.done = this.#remaining === 0
    take(bytes, start, end)
    return end
  }

  #readChunks(bytes: Buffer, start: number, take: TakeData): number {
    let at = start
    while (at < bytes.length && !this.done) {
      if (this.#state === 'data') {
        const end = Math.min(bytes.length, at + this.#remaining)
        take(bytes, at, end)
        this.#remaining -= end - at
        at = end
        if (this.#remaining === 0) this.#state = 'data end'
        continue
      }
      const lf = bytes.indexOf(0x0a, at)
      const end = lf < 0 ? bytes.length : lf + 1
      this.#line += bytes.toString('latin1', at, end)
      at = end
      if (this.#line.length > 1_024) throw new Error('a line of a chunked body is too long')
      if (lf >= 0) this.#endLine()
    }
    return at
  }

  #endLine(): void {
    const line = this.#line
    this.#line = ''
    if (!line.endsWith('\r\n')) throw new Error('a line of a chunked body ends without CR')
    if (this.#state === 'data end') {
      if (line !== '\r\n') throw new Error('a chunk is longer than its size')
      this.#state = 'size'
    } else if (this.#state === 'trailers') {
      this.done = line === '\r\n'
      if (!this.done) this.trailers.push(line.slice(0, -2))
    } else {
      if (!/^[0-9a-f]{1,8}\r\n$/.test(line)) throw new Error(`chunk size ${JSON.stringify(line)}`)
      this.#remaining = Number.parseInt(line, 16)
      this.#state = this.#remaining === 0 ? 'trailers' : 'data'
    }
  }
}

/** `data` in chunks of `size`, with `trailers`, whole lines. */
export function chunked(data: Buffer, size: number, trailers = ''): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < data.length; at += size) {
    const piece = data.subarray(at, at + size)
    pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'))
  }
  pieces.push(Buffer.from(`0\r\n${trailers}\r\n`, 'latin1'))
  return Buffer.concat(pieces)
}
