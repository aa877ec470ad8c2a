/**
 * A terminal that is taken for as long as something is shown, and given back as it was: at the end, on a signal, and when
 * the program fails. What was on it before comes back, too.
 */
import type { ReadStream, WriteStream } from 'node:tty'
import type { Size } from './frame.ts'

const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'
const HOME = '\x1b[H'
const REST_OF_LINE = '\x1b[K'
const REST_OF_SCREEN = '\x1b[J'
/** Of a terminal that does not say. */
const DEFAULT_SIZE: Size = { columns: 80, rows: 24 }

export class Terminal {
  readonly #input: ReadStream
  readonly #output: WriteStream
  #taken = false
  readonly #giveBack = (): void => this.leave()

  constructor(input: ReadStream, output: WriteStream) {
    this.#input = input
    this.#output = output
  }

  get size(): Size {
    const { columns, rows } = this.#output
    return {
      columns: columns > 0 ? columns : DEFAULT_SIZE.columns,
      rows: rows > 0 ? rows : DEFAULT_SIZE.rows,
    }
  }

  enter(): void {
    if (this.#taken) return
    this.#taken = true
    // Before Node prints what went wrong, so that it can be read; and at every other end.
    process.on('uncaughtExceptionMonitor', this.#giveBack)
    process.on('exit', this.#giveBack)
    this.#input.setRawMode(true)
    this.#input.resume()
    this.#output.write(ENTER)
  }

  /** Gives it back; any number of times. */
  leave(): void {
    if (!this.#taken) return
    this.#taken = false
    process.off('uncaughtExceptionMonitor', this.#giveBack)
    process.off('exit', this.#giveBack)
    this.#output.write(LEAVE)
    try {
      this.#input.setRawMode(false)
    } catch {
      // The terminal is gone, as at the end of an ssh.
    }
    this.#input.pause()
  }

  /** One write, without an empty screen between two pictures; none where the one before is still on its way. */
  draw(lines: readonly string[]): void {
    if (!this.#taken || this.#output.writableNeedDrain) return
    const text = lines.map(line => `${line}${REST_OF_LINE}`).join('\r\n')
    this.#output.write(`${HOME}${text}${REST_OF_SCREEN}`)
  }
}
