/** The segments of one journal, as the folder was last seen and as they were removed since. */
import type { FileHandle } from 'node:fs/promises'
import type { Segments } from './journal-cursor.ts'
import type { Damage, JournalFolder, SegmentFile } from './journal-folder.ts'

export interface Position {
  readonly segment: number
  readonly offset: number
}

export class JournalSegments implements Segments {
  readonly #folder: JournalFolder
  readonly #producer: string
  /** In the order of their numbers. */
  #files: readonly SegmentFile[] = []
  /** Last batch of each segment that was read to its end. */
  readonly #lastOf = new Map<number, number>()

  constructor(folder: JournalFolder, producer: string) {
    this.#folder = folder
    this.#producer = producer
  }

  found(files: readonly SegmentFile[]): void {
    this.#files = files
  }

  get empty(): boolean {
    return this.#files.length === 0
  }

  get oldest(): SegmentFile | undefined {
    return this.#files[0]
  }

  /** Changes when more is written. */
  get looks(): string {
    const last = this.#files.at(-1)
    return `${last?.number} ${last?.size}`
  }

  async open(number: number): Promise<FileHandle | undefined> {
    return this.#folder.openSegment(this.#producer, number)
  }

  after(number: number): number | undefined {
    return this.#files.find(file => file.number > number)?.number
  }

  bytesBehind({ segment, offset }: Position): number {
    let bytes = 0
    for (const { number, size } of this.#files) {
      if (number > segment) bytes += size
      else if (number === segment) bytes += Math.max(0, size - offset)
    }
    return bytes
  }

  /** A segment was read to its end; `last` is the batch before that. */
  left(number: number, last: number): void {
    this.#lastOf.set(number, last)
  }

  /** Removes the segments before `segment` with no batch behind `durable`. */
  async removeShipped(segment: number, durable: number): Promise<void> {
    for (const { number } of this.#files) {
      const last = this.#lastOf.get(number)
      if (number < segment && last !== undefined && last <= durable) await this.#remove(number)
    }
  }

  async removeAll(): Promise<void> {
    for (const { number } of this.#files) await this.#remove(number)
  }

  /** Moves what is behind a position to a file of its own, whose path it returns. */
  async cut({ segment, offset }: Position, why: Damage): Promise<string> {
    const path = await this.#folder.cut(this.#producer, segment, offset, why)
    this.#files = this.#files.map(file =>
      file.number === segment ? { ...file, size: offset } : file,
    )
    return path
  }

  async #remove(number: number): Promise<void> {
    await this.#folder.remove(this.#producer, number)
    this.#files = this.#files.filter(file => file.number !== number)
    this.#lastOf.delete(number)
  }
}
