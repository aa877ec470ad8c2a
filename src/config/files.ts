/** Reading of files for the configuration: bounded, and with faults as values that say what is wrong in one phrase. */
import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
} from 'node:fs'
import { sep } from 'node:path'

const PIECE_BYTES = 1024 * 1024

export type FileResult<T> = { readonly value: T } | { readonly fault: string }

/**
 * The bytes of a file, at most `maxBytes`. It reads what it can get instead of trusting the size in the inode, so that
 * pipes work (`amt check /dev/stdin`) and a device without end does no harm. They stand at the beginning of memory of their
 * own, with `room` bytes behind them.
 */
export function readBytes(path: string, maxBytes: number, room = 0): FileResult<Buffer> {
  const read = withFile(path, descriptor => readAtMost(descriptor, maxBytes + 1, room))
  if ('value' in read && read.value.length > maxBytes)
    return { fault: `is larger than ${maxBytes} bytes` }
  return read
}

/** What `use` makes of the open file. */
export function withFile<T>(path: string, use: (descriptor: number) => T): FileResult<T> {
  const fault = fileFault(path)
  if (fault !== undefined) return { fault }
  try {
    const descriptor = openSync(path, 'r')
    try {
      return { value: use(descriptor) }
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    return { fault: `cannot be read: ${messageOf(error)}` }
  }
}

/** As `readBytes`, decoded; a byte order mark is dropped. */
export function readText(path: string, maxBytes: number): FileResult<string> {
  const bytes = readBytes(path, maxBytes)
  if ('fault' in bytes) return bytes
  const text = decodeUtf8(bytes.value)
  return text === undefined ? { fault: 'is not valid UTF-8' } : { value: text }
}

const STRICT_UTF8 = new TextDecoder('utf-8', { fatal: true })

/** `undefined` for bytes that are not UTF-8: replacing them would hide a damaged or wrong file. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return STRICT_UTF8.decode(bytes)
  } catch {
    return undefined
  }
}

/** The names in a directory, in no particular order. */
export function readDirectory(path: string): FileResult<string[]> {
  try {
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat === undefined) return { fault: 'does not exist' }
    if (!stat.isDirectory()) return { fault: 'is a file, must be a directory' }
    return { value: readdirSync(path) }
  } catch (error) {
    return { fault: `cannot be read: ${messageOf(error)}` }
  }
}

/** Whether it can be read twice, as no pipe can. */
export function isRegularFile(path: string): boolean {
  try {
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** Why the file cannot be read, or `undefined` if it can. */
export function fileFault(path: string): string | undefined {
  try {
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat === undefined) return `does not exist${stateHint(path)}`
    if (stat.isDirectory()) return 'is a directory, must be a file'
    accessSync(path, constants.R_OK)
    return undefined
  } catch (error) {
    return `cannot be read: ${messageOf(error)}`
  }
}

/** What a newcomer needs to know who checks the example configuration before its first start. */
function stateHint(path: string): string {
  return path.split(sep).includes('state') ? '; `npm start` makes it' : ''
}

function readAtMost(descriptor: number, maxBytes: number, room: number): Buffer {
  const { size } = fstatSync(descriptor)
  // One byte more than it says: the end is where nothing more comes.
  const wanted = Math.min(maxBytes, size > 0 ? size + 1 : PIECE_BYTES)
  let bytes = Buffer.allocUnsafeSlow(wanted + room)
  let length = 0
  for (;;) {
    const most = Math.min(bytes.length, maxBytes) - length
    const count = readSync(descriptor, bytes, length, most, null)
    length += count
    if (count === 0 || length >= maxBytes) return bytes.subarray(0, length)
    if (length < bytes.length) continue
    const larger = Buffer.allocUnsafeSlow(length + PIECE_BYTES + room)
    bytes.copy(larger)
    bytes = larger
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
