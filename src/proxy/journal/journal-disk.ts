/** What the journal does with files, so that a test can bring a disk that fails. Everything throws the errors of Node. */
import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs'

export interface JournalDisk {
  /** With those above it; fine where it is there. */
  makeFolder(path: string): void
  /** A new file to append to and read from, of its owner alone. */
  create(path: string): number
  openFolder(path: string): number
  remove(path: string): void
  /** Appends some of `bytes` from `offset` on, and returns how many. */
  write(file: number, bytes: Uint8Array, offset: number): number
  read(file: number, into: Uint8Array, position: number): number
  truncate(file: number, length: number): void
  /** Whether it still has a name. */
  isLinked(file: number): boolean
  syncNow(file: number): void
  sync(file: number, done: (error: Error | null) => void): void
  close(file: number): void
}

const { O_APPEND, O_CREAT, O_EXCL, O_RDWR } = constants

export const systemDisk: JournalDisk = {
  makeFolder: path => {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  },
  create: path => openSync(path, O_RDWR | O_APPEND | O_CREAT | O_EXCL, 0o600),
  openFolder: path => openSync(path, 'r'),
  remove: unlinkSync,
  write: (file, bytes, offset) => writeSync(file, bytes, offset, bytes.length - offset),
  read: (file, into, position) => readSync(file, into, 0, into.length, position),
  truncate: ftruncateSync,
  isLinked: file => fstatSync(file).nlink > 0,
  syncNow: fdatasyncSync,
  sync: fdatasync,
  close: closeSync,
}
