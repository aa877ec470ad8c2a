/** Which customer of a payment system a tenant is: from the configuration, and from a file that may change meanwhile. */
import { readFile, stat } from 'node:fs/promises'
import { z } from 'zod'
import type { Logger } from '../../../runtime/logger.ts'
import { messageOf } from '../../ledger/database.ts'

const MAX_FILE_BYTES = 64 * 1024 * 1024
const fileSchema = z.record(z.string(), z.string().min(1).max(255))

export class Customers {
  readonly #configured: ReadonlyMap<string, string>
  readonly #file: string | undefined
  readonly #logger: Logger
  #fromFile: ReadonlyMap<string, string> = new Map()
  /** Of the file that was read last, so that the same one is not read again. */
  #version = ''
  #fault = ''

  constructor(
    configured: Readonly<Record<string, string>>,
    file: string | undefined,
    logger: Logger,
  ) {
    this.#configured = new Map(Object.entries(configured))
    this.#file = file
    this.#logger = logger
  }

  /** Reads the file where it has changed; one that cannot be read leaves what was known before. */
  async refresh(): Promise<void> {
    if (this.#file === undefined) return
    try {
      const { mtimeMs, size, ino } = await stat(this.#file)
      const version = `${mtimeMs} ${size} ${ino}`
      if (version === this.#version) return
      if (size > MAX_FILE_BYTES) throw new Error(`larger than ${MAX_FILE_BYTES} bytes`)
      const customers = fileSchema.parse(JSON.parse(await readFile(this.#file, 'utf8')))
      this.#fromFile = new Map(Object.entries(customers))
      this.#version = version
      this.#fault = ''
    } catch (cause) {
      const fault =
        cause instanceof z.ZodError ? 'it must be {"tenant": "customer"}' : messageOf(cause)
      if (fault !== this.#fault)
        this.#logger.error(
          { file: this.#file, reason: fault },
          'the file of customers is not usable',
        )
      this.#fault = fault
    }
  }

  of(tenant: string): string | undefined {
    return this.#configured.get(tenant) ?? this.#fromFile.get(tenant)
  }
}
