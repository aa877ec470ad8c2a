/**
 * The files of one journal: `<producer>.<number>.journal`, one after the other, a new one where the last is full or
 * cannot be trusted. What fails is given back as an error, and leaves whole batches only.
 */
import { join } from 'node:path'
import { SEGMENT_HEADER } from '../../contracts/journal-segment.ts'
import { isPresent } from '../../runtime/node-errors.ts'
import type { DiskSync } from './disk-sync.ts'
import type { JournalDisk } from './journal-disk.ts'

export interface SegmentOptions {
  readonly folder: string
  readonly producer: string
  /** A segment that has as many gets no further batch. */
  readonly maxBytes: number
  readonly disk: JournalDisk
  readonly sync: DiskSync
  /** What goes wrong without keeping anything from being written. */
  readonly onTrouble: (error: unknown) => void
}

export class SegmentWriter {
  /** Changes where keys must be written anew. */
  epoch = 1
  readonly #options: SegmentOptions
  #file: number | undefined
  /** Of the present file, or the last one. */
  #number = 0
  #size = 0
  /** Whether somebody has removed the present file. */
  #unlinked = false
  /** Why the last batch is written and may not be on the disk; with `fsync: always` alone. */
  unsynced: unknown

  constructor(options: SegmentOptions) {
    this.#options = options
  }

  get path(): string {
    return this.pathOf(this.#number)
  }

  /** Sees to it that there is a file with room; returns what stands against it. */
  prepare(): unknown {
    try {
      if (this.#file !== undefined && this.#unlinked) this.#restore(this.#file)
      if (this.#file !== undefined && this.#size >= this.#options.maxBytes) this.#leave()
      if (this.#file === undefined) this.#begin()
      else if (this.unsynced !== undefined) this.#options.sync.wrote(this.#file)
      this.unsynced = undefined
      return undefined
    } catch (error) {
      return error
    }
  }

  /** Appends `batch` behind `prepare`; returns what stood against it, and then nothing of it is there. */
  append(batch: Uint8Array): unknown {
    const file = this.#file as number
    try {
      this.#writeAll(file, batch)
    } catch (error) {
      this.#takeBack(file)
      return error
    }
    this.#size += batch.length
    try {
      this.#options.sync.wrote(file)
    } catch (error) {
      // Not taken back: the primary may have read it, and would take another batch of this number for the same one.
      this.unsynced = error
    }
    return undefined
  }

  /** Keys that were encoded have not been written. */
  forgetKeys(): void {
    this.epoch += 1
  }

  /** Whether the present file is still where it was made; where it is not, the next `prepare` writes it anew. */
  check(): boolean {
    if (this.#file === undefined || this.#unlinked) return !this.#unlinked
    try {
      this.#unlinked = !this.#options.disk.isLinked(this.#file)
    } catch (error) {
      this.#options.onTrouble(error)
    }
    return !this.#unlinked
  }

  /** Leaves the present file. */
  close(): void {
    this.#leave()
  }

  pathOf(number: number): string {
    const { folder, producer } = this.#options
    return join(folder, `${producer}.${number}.journal`)
  }

  get count(): number {
    return this.#number
  }

  #begin(): void {
    this.#options.disk.makeFolder(this.#options.folder)
    let number = this.#number + 1
    let file: number | undefined
    while (file === undefined) {
      try {
        file = this.#create(number, SEGMENT_HEADER)
      } catch (error) {
        // What an attempt has left, and could not be removed, keeps its number.
        if (!isPresent(error)) throw error
        number += 1
      }
    }
    this.#file = file
    this.#number = number
    this.#size = SEGMENT_HEADER.length
    this.epoch += 1
  }

  /** A new file with `content`. */
  #create(number: number, content: Uint8Array): number {
    const { disk, folder, sync, onTrouble } = this.#options
    const path = this.pathOf(number)
    const file = disk.create(path)
    try {
      this.#writeAll(file, content)
      sync.wrote(file)
    } catch (error) {
      sync.retire(file)
      this.#remove(path)
      throw error
    }
    // Its name outlives a power cut only once the folder is on the disk, too.
    try {
      const opened = disk.openFolder(folder)
      sync.wrote(opened)
      sync.retire(opened)
    } catch (error) {
      onTrouble(error)
    }
    return file
  }

  #remove(path: string): void {
    try {
      this.#options.disk.remove(path)
    } catch (error) {
      this.#options.onTrouble(error)
    }
  }

  #writeAll(file: number, bytes: Uint8Array): void {
    const { disk } = this.#options
    for (let offset = 0; offset < bytes.length; ) {
      const written = disk.write(file, bytes, offset)
      if (written === 0) throw new Error('the disk takes nothing')
      offset += written
    }
  }

  /** A batch of which perhaps a part was written goes away again; its keys with it. */
  #takeBack(file: number): void {
    this.forgetKeys()
    try {
      this.#options.disk.truncate(file, this.#size)
    } catch (error) {
      // Its end is torn, which readers know how to take; the next file begins with the same sequence.
      this.#options.onTrouble(error)
      this.#leave()
    }
  }

  #leave(): void {
    if (this.#file !== undefined) this.#options.sync.retire(this.#file)
    this.#file = undefined
    this.#unlinked = false
  }

  /** The present file has lost its name, not its content: what of it is not in the ledger yet must not be lost. */
  #restore(file: number): void {
    const { disk, sync } = this.#options
    disk.makeFolder(this.#options.folder)
    const content = Buffer.alloc(this.#size)
    for (let at = 0; at < content.length; ) {
      const read = disk.read(file, content.subarray(at), at)
      if (read === 0) throw new Error('the journal is shorter than what was written')
      at += read
    }
    this.#unlinked = false
    try {
      this.#file = this.#create(this.#number, content)
      sync.retire(file)
    } catch (error) {
      this.#unlinked = !isPresent(error)
      if (this.#unlinked) throw error
      // Another file stands there by now: whoever put it there must know what became of ours.
      this.#options.onTrouble(error)
      this.#leave()
    }
  }
}
