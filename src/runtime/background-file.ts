/**
 * Lines that are written in the background: whoever has one puts it into memory and goes on. A disk or a reader that is
 * slow, full or gone holds up nobody; what waits for it is bounded, and lines beyond that are dropped and counted.
 */
import {
  close,
  constants,
  fstatSync,
  fsyncSync,
  mkdir,
  open,
  openSync,
  write,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

export interface BackgroundFileOptions {
  /** A path, whose folders are made, or `stdout`. */
  readonly where: string
  /** That may wait; one line is never too long alone. */
  readonly maxBytes: number
  /** It cannot be opened or written, where it could before. It is tried again until it can. */
  readonly failed: (error: Error) => void
}

/** Memory is taken in pieces of this size, and given back piece by piece. */
const BLOCK_BYTES = 64 * 1024
/** As soon as so much waits it is written; less at the next `flush`. */
const WRITE_BYTES = 16 * 1024
/** What arrives in a pipe in one piece, whoever else writes to it (PIPE_BUF, POSIX.1-2017 `write`). */
const PIPE_BYTES = 4_096
/** Such pieces that are written in one go: 0.3 ms at most. */
const PIECES_AT_ONCE = 64
const RETRY_MS = 1_000
/** A pipe that somebody has made non-blocking is full. */
const FULL_MS = 5
/** For an operation that is under way at the end: one that takes longer is stuck. */
const LAST_MS = 250
const NEWLINE = 0x0a
const STDOUT = 1
/** Not for everybody: what is logged is of people. */
const MODE = 0o640

class Block {
  readonly bytes: Buffer
  /** Up to where it is filled. */
  end = 0

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size)
  }
}

export class BackgroundFile {
  /** Lines that nobody will read. */
  dropped = 0
  /** Attempts to open or write that failed. */
  errors = 0
  readonly #options: BackgroundFileOptions
  #fd: number | undefined
  #kind: 'file' | 'stream' = 'file'
  /** It takes what it can at once, and says where that is nothing. */
  #neverBlocks = false
  /** The first is being written, the last is being filled. */
  readonly #blocks: Block[] = []
  /** Up to where the first block is written. */
  #at = 0
  #waitingBytes = 0
  /** An operation is under way, or the next one is due later. */
  #busy = false
  #failing = false
  #reopening = false
  #retry: NodeJS.Timeout | undefined
  #reopenLater: NodeJS.Timeout | undefined
  #settled: (() => void) | undefined
  #ended = false

  constructor(options: BackgroundFileOptions) {
    this.#options = options
    if (options.where !== 'stdout') {
      this.#open()
      return
    }
    const fd = standardOutput()
    this.#neverBlocks = fd !== STDOUT
    this.#use(fd)
  }

  /** Bytes that are not written yet. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** Whether an operation is under way. */
  get writing(): boolean {
    return this.#busy && this.#retry === undefined
  }

  /** For whoever writes lines that should not wait for a `flush`. */
  readonly lines = {
    write: (line: string): void => {
      this.write(line)
      this.flush()
    },
  }

  /** `line` with its newline. False where it was dropped, because too much waits already. */
  write(line: string): boolean {
    const length = Buffer.byteLength(line)
    const tooMuch = this.#waitingBytes > 0 && this.#waitingBytes + length > this.#options.maxBytes
    if (tooMuch || this.#ended) {
      this.dropped++
      return false
    }
    const block = this.#blockFor(length)
    block.end += block.bytes.write(line, block.end)
    this.#waitingBytes += length
    if (this.#waitingBytes >= WRITE_BYTES) this.flush()
    return true
  }

  #blockFor(length: number): Block {
    const last = this.#blocks.at(-1)
    if (last !== undefined && last.end + length <= last.bytes.length) return last
    const block = new Block(Math.max(BLOCK_BYTES, length))
    this.#blocks.push(block)
    return block
  }

  /** Begins to write what waits. */
  flush(): void {
    if (!this.#busy && this.#waitingBytes > 0) this.#next()
  }

  /** Goes on in a new file of the same name: the old one was moved away. Nothing of what waits is lost. */
  reopen(): void {
    if (this.#options.where === 'stdout' || this.#ended) return
    this.#reopening = true
    if (!this.#busy) this.#next()
  }

  /** Writes what waits, for at most `patienceMs`. */
  async settle(patienceMs: number): Promise<void> {
    if (this.#waitingBytes === 0) return
    // A pause before another attempt is for those who have time.
    if (this.#retry !== undefined) this.#retryNow()
    else this.flush()
    await this.#settledWithin(patienceMs)
  }

  /** The same, and what is still not written then is dropped, like all that comes after it. */
  async end(patienceMs: number): Promise<void> {
    if (this.#ended) return
    await this.settle(patienceMs)
    this.#ended = true
    this.#dropRest()
    clearTimeout(this.#retry)
    clearTimeout(this.#reopenLater)
    // One that is still being used is closed behind that: its number must not become another file's meanwhile.
    if (this.writing) await this.#settledWithin(LAST_MS)
    else this.#close()
  }

  async #settledWithin(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#settled = resolve
    const late = setTimeout(resolve, ms)
    await promise
    clearTimeout(late)
    this.#settled = undefined
  }

  /** For a process that ends at once. Only to a file: a pipe that nobody reads would keep it for ever. */
  endNow(): void {
    if (this.#busy || this.#kind !== 'file' || this.#fd === undefined) return
    try {
      for (const [index, { bytes, end }] of this.#blocks.entries())
        writeSync(this.#fd, bytes, index === 0 ? this.#at : 0, end - (index === 0 ? this.#at : 0))
      fsyncSync(this.#fd)
    } catch {
      // There is nobody left to be told.
    }
  }

  #dropRest(): void {
    for (const [index, { bytes, end }] of this.#blocks.entries()) {
      let at = index === 0 ? this.#at : 0
      for (; at < end && at >= 0; at = bytes.indexOf(NEWLINE, at) + 1) this.dropped++
    }
    this.#blocks.length = 0
    this.#waitingBytes = 0
  }

  // === one operation after the other

  #next(): void {
    this.#busy = false
    if (this.#ended) {
      this.#close()
      this.#settled?.()
    } else if (this.#fd === undefined || this.#reopening) this.#open()
    else if (this.#waitingBytes === 0) this.#settled?.()
    else if (this.#neverBlocks) this.#writeAtOnce(this.#fd)
    else this.#writeSome(this.#fd)
  }

  #open(): void {
    this.#busy = true
    this.#reopening = false
    const { where } = this.#options
    mkdir(dirname(where), { recursive: true }, unmakeable => {
      if (unmakeable !== null) {
        this.#openFailed(unmakeable)
        return
      }
      open(where, 'a', MODE, (error, fd) => {
        if (error === null) this.#opened(fd)
        else this.#openFailed(error)
      })
    })
  }

  #opened(fd: number): void {
    this.#close()
    this.#use(fd)
    this.#next()
  }

  #close(): void {
    if (this.#fd !== undefined && this.#fd !== STDOUT) close(this.#fd, ignore)
  }

  #use(fd: number): void {
    this.#fd = fd
    try {
      this.#kind = fstatSync(fd).isFile() ? 'file' : 'stream'
    } catch {
      // Closed before we were started: each write will say so.
      this.#kind = 'stream'
    }
  }

  /** An old file is written meanwhile, where there is one. */
  #openFailed(error: Error): void {
    this.#tell(error)
    if (this.#fd === undefined) {
      this.#later(RETRY_MS)
      return
    }
    clearTimeout(this.#reopenLater)
    this.#reopenLater = setTimeout(() => this.reopen(), RETRY_MS)
    this.#reopenLater.unref()
    this.#next()
  }

  #writeSome(fd: number): void {
    const block = this.#blocks[0] as Block
    this.#busy = true
    const length = this.#lengthToWrite(block)
    write(fd, block.bytes, this.#at, length, null, (error, written) => {
      if (error !== null) {
        this.#writeFailed(error)
        return
      }
      this.#took(block, written)
      this.#next()
    })
  }

  /** To hand each piece to another thread, and to hear of it, would cost some eight times as much. */
  #writeAtOnce(fd: number): void {
    this.#busy = true
    try {
      for (let pieces = 0; pieces < PIECES_AT_ONCE && this.#waitingBytes > 0; pieces++) {
        const block = this.#blocks[0] as Block
        this.#took(block, writeSync(fd, block.bytes, this.#at, this.#lengthToWrite(block)))
      }
    } catch (error) {
      this.#writeFailed(error as NodeJS.ErrnoException)
      return
    }
    if (this.#waitingBytes > 0) this.#later(FULL_MS)
    else this.#next()
  }

  /** To a pipe, or a terminal, whole lines, so that those of other processes stand between them and never in them. */
  #lengthToWrite({ bytes, end }: Block): number {
    const length = end - this.#at
    if (this.#kind === 'file' || length <= PIPE_BYTES) return length
    const newline = bytes.lastIndexOf(NEWLINE, this.#at + PIPE_BYTES - 1)
    return newline >= this.#at
      ? newline + 1 - this.#at
      : bytes.indexOf(NEWLINE, this.#at) + 1 - this.#at
  }

  #took(block: Block, bytes: number): void {
    this.#failing = false
    // What came too late for `end` was counted as dropped.
    if (this.#blocks[0] === block) {
      this.#at += bytes
      this.#waitingBytes -= bytes
      if (this.#at === block.end) {
        this.#at = 0
        this.#blocks.shift()
      }
    }
  }

  #writeFailed(error: NodeJS.ErrnoException): void {
    if (error.code === 'EAGAIN') {
      this.#later(FULL_MS)
      return
    }
    // The folder may be gone, or the disk another one.
    if (this.#options.where !== 'stdout') this.#reopening = true
    this.#tell(error)
    this.#later(RETRY_MS)
  }

  /** Once an outage: it is over with the next line that is written. */
  #tell(error: Error): void {
    this.errors++
    if (this.#failing) return
    this.#failing = true
    this.#options.failed(error)
  }

  #later(ms: number): void {
    if (this.#ended) {
      this.#next()
      return
    }
    this.#retry = setTimeout(() => this.#retryNow(), ms)
    this.#retry.unref()
  }

  #retryNow(): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
    this.#next()
  }
}

/**
 * A pipe once more, so that its being full is an answer and not a wait; those who share it with us do not notice. What else it
 * is cannot be opened so, nor a pipe of somebody else.
 */
function standardOutput(): number {
  try {
    if (!fstatSync(STDOUT).isFIFO()) return STDOUT
    return openSync(`/proc/self/fd/${STDOUT}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    return STDOUT
  }
}

/** Of a file that is not ours any more. */
function ignore(): void {}
