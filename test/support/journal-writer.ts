/** Writes the journal of a worker that there never was, batch by batch. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BatchWriter, SEGMENT_HEADER } from '../../src/contracts/journal-segment.ts'
import type { UsageRecord } from '../../src/contracts/usage-report.ts'
import { usageOf } from './usage.ts'

export class JournalWriter {
  readonly folder: string
  readonly producer: string
  /** Number of the next batch. */
  next = 1
  segment = 0
  readonly #writer = new BatchWriter()
  readonly #rows = new Map<string, number>()

  constructor(folder: string, producer: string) {
    this.folder = folder
    this.producer = producer
    this.roll()
  }

  get path(): string {
    return this.pathOf(this.segment)
  }

  pathOf(segment: number): string {
    return join(this.folder, `${this.producer}.${segment}.journal`)
  }

  /** Begins the next segment. */
  roll(): void {
    this.segment += 1
    this.#rows.clear()
    writeFileSync(this.path, SEGMENT_HEADER)
  }

  /** A batch with `records`; by default a call of `acme`. */
  write(...records: readonly UsageRecord[]): void {
    appendFileSync(this.path, this.bytes(...records))
  }

  /** Calls of a tenant, each in a batch of its own. */
  calls(tenant: string, count: number): void {
    for (let call = 0; call < count; call += 1) this.write(usageOf(tenant, 1))
  }

  /** The same without writing it. */
  bytes(...records: readonly UsageRecord[]): Buffer {
    for (const record of records.length === 0 ? [usageOf('acme', 1)] : records) {
      const { tenant, listener, routability, operation, code } = record
      const key = `${tenant} ${listener} ${routability} ${operation} ${code}`
      let row = this.#rows.get(key)
      if (row === undefined) {
        row = this.#rows.size
        this.#rows.set(key, row)
        this.#writer.key(row, record)
      }
      this.#writer.usage(row, record)
    }
    const bytes = Buffer.from(this.#writer.finish(this.next))
    this.next += 1
    return bytes
  }

  /** Flips a bit of what was written. */
  damage(segment: number, at: number): void {
    const bytes = readFileSync(this.pathOf(segment))
    bytes[at] = (bytes[at] ?? 0) ^ 4
    writeFileSync(this.pathOf(segment), bytes)
  }
}
