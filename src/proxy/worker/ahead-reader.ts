/** Reads the file in which the primary writes tenants ahead of their time; see `TenantsAhead`. */
import { closeSync, readSync } from 'node:fs'
import { FirstTenants } from '../tenant/first-tenants.ts'

export class AheadReader {
  readonly tenants = new FirstTenants(0)
  readonly #fd: number
  #position = 0

  constructor(fd: number) {
    this.#fd = fd
  }

  /** Takes the piece that ends there. Throws where the file is not as the primary said. */
  readTo(end: number): void {
    const bytes = Buffer.allocUnsafe(end - this.#position)
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(this.#fd, bytes, at, bytes.length - at, this.#position + at)
      if (read === 0) throw new Error(`the tenants end at ${this.#position + at}, not at ${end}`)
      at += read
    }
    this.#position = end
    this.tenants.take(linesOf(bytes))
  }

  close(): void {
    closeSync(this.#fd)
  }
}

const NEWLINE = 10

/** Each in memory of its own, so that one that is kept keeps no other. */
function* linesOf(bytes: Buffer): Generator<string> {
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(NEWLINE, start)
    yield bytes.toString('latin1', start, end)
    start = end + 1
  }
}
