/** The disk of a journal that fails when the test says so, with what a real one does then. */
import { type JournalDisk, systemDisk } from '../../src/proxy/journal/journal-disk.ts'

type Operation = keyof JournalDisk

export class FailingDisk implements JournalDisk {
  /** Operations that fail, with the code of Node. */
  readonly failing = new Map<Operation, string>()
  /** Bytes that the disk still has room for. */
  room = Number.POSITIVE_INFINITY
  readonly calls: Operation[] = []
  /** Syncs wait here where the test holds them. */
  readonly heldSyncs: (() => void)[] = []
  holdSyncs = false

  makeFolder(path: string): void {
    this.#check('makeFolder')
    systemDisk.makeFolder(path)
  }

  create(path: string): number {
    this.#check('create')
    return systemDisk.create(path)
  }

  openFolder(path: string): number {
    this.#check('openFolder')
    return systemDisk.openFolder(path)
  }

  remove(path: string): void {
    this.#check('remove')
    systemDisk.remove(path)
  }

  /** A disk without room takes what fits, and the next time nothing. */
  write(file: number, bytes: Uint8Array, offset: number): number {
    this.#check('write')
    const fits = Math.min(bytes.length - offset, this.room)
    if (fits === 0) throw failure('ENOSPC')
    this.room -= fits
    return systemDisk.write(file, bytes.subarray(0, offset + fits), offset)
  }

  read(file: number, into: Uint8Array, position: number): number {
    this.#check('read')
    return systemDisk.read(file, into, position)
  }

  truncate(file: number, length: number): void {
    this.#check('truncate')
    systemDisk.truncate(file, length)
  }

  isLinked(file: number): boolean {
    this.#check('isLinked')
    return systemDisk.isLinked(file)
  }

  syncNow(file: number): void {
    this.#check('syncNow')
    systemDisk.syncNow(file)
  }

  sync(file: number, done: (error: Error | null) => void): void {
    this.calls.push('sync')
    const code = this.failing.get('sync')
    const finish = (): void => {
      if (code === undefined) systemDisk.sync(file, done)
      else done(failure(code))
    }
    if (this.holdSyncs) this.heldSyncs.push(finish)
    else finish()
  }

  close(file: number): void {
    this.#check('close')
    systemDisk.close(file)
  }

  #check(operation: Operation): void {
    this.calls.push(operation)
    const code = this.failing.get(operation)
    if (code !== undefined) throw failure(code)
  }
}

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code })
}
