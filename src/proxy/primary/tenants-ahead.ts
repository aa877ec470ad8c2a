/**
 * Tenants that workers get while the primary is still reading them, in a file without a name that all of them have open. What is
 * read is read in one go, and a channel takes no more than some 200 KB from who does not come to its event loop; a file takes all
 * of it, once for all workers.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, constants, openSync, unlinkSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CHUNK_CHARS } from '../ipc.ts'

/** Nobody else gets to see it, and it goes with the last process that has it open. */
const FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
const MODE = 0o600

export class TenantsAhead {
  readonly fd: number
  #lines: string[] = []
  #chars = 0
  #bytes = 0
  #count = 0
  #failed = false

  private constructor(fd: number) {
    this.fd = fd
  }

  /** Undefined where no such file can be made: then all tenants come over the channel. */
  static open(folder: string = tmpdir()): TenantsAhead | undefined {
    try {
      const path = join(folder, `amt-${randomBytes(16).toString('hex')}`)
      const fd = openSync(path, FLAGS, MODE)
      unlinkSync(path)
      return new TenantsAhead(fd)
    } catch {
      return undefined
    }
  }

  /** Takes a text of `encodeTenant`. Returns where a piece of the file ends, if there is one more. */
  add(text: string): number | undefined {
    this.#lines.push(text)
    this.#chars += text.length + 1
    return this.#chars < CHUNK_CHARS ? undefined : this.#write()
  }

  /** Writes the rest, where there is enough for a file; then nothing comes any more. Returns what `add` does. */
  finish(): number | undefined {
    return this.#count === 0 ? undefined : this.#write()
  }

  /** How many tenants are in it: all that were added, or none. */
  get count(): number {
    return this.#failed ? 0 : this.#count
  }

  close(): void {
    closeSync(this.fd)
  }

  #write(): number | undefined {
    const lines = this.#lines
    this.#lines = []
    this.#chars = 0
    if (this.#failed || lines.length === 0) return undefined
    const bytes = Buffer.from(`${lines.join('\n')}\n`, 'latin1')
    try {
      for (let at = 0; at < bytes.length; )
        at += writeSync(this.fd, bytes, at, bytes.length - at, this.#bytes + at)
    } catch {
      // The disk is full, or broken.
      this.#failed = true
      return undefined
    }
    this.#bytes += bytes.length
    this.#count += lines.length
    return this.#bytes
  }
}
