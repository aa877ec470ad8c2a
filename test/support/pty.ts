/** A program at a terminal of its own, by script(1): what it writes there, and keys that are pressed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import { skipWithout } from './program.ts'
import { readUntil } from './running-amt.ts'

export const skipWithoutPty: string | false = skipWithout({ script: 'bsdutils', stty: 'coreutils' })

const PATIENCE_MS = 30_000
const ESC = '\x1b'
const HOME = `${ESC}[H`
const REST_OF_SCREEN = `${ESC}[J`
const ORDER = new RegExp(`${ESC}\\[[0-9;?]*[A-Za-z]`, 'g')
/** Of what was written, for a message that can be read. */
const TAIL_CHARS = 300

export class Pty {
  readonly #child: ChildProcess
  readonly ended: Promise<void>
  #output = ''

  /** `script`: for a shell; its terminal has 80 columns and 24 rows at first. */
  constructor(t: Test, script: string, env: NodeJS.ProcessEnv = {}) {
    const { NODE_OPTIONS: _, ...own } = process.env
    const command = `stty cols 80 rows 24; ${script}`
    this.#child = spawn('script', ['-q', '-e', '-c', command, '/dev/null'], {
      env: { ...own, TERM: 'xterm', SHELL: '/bin/sh', ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.ended = once(this.#child, 'close').then(() => {})
    this.#child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      this.#output += chunk
    })
    t.teardown(async () => {
      this.#child.kill('SIGKILL')
      await this.ended
    })
  }

  /** All that was written so far. */
  get output(): string {
    return this.#output
  }

  press(keys: string): void {
    this.#child.stdin?.write(keys)
  }

  /** The last picture that has been drawn to its end, line by line, without colours. */
  picture(): string[] {
    const [, ...pictures] = this.#output.split(HOME)
    const [text = ''] =
      pictures.findLast(it => it.includes(REST_OF_SCREEN))?.split(REST_OF_SCREEN) ?? []
    return text.replace(ORDER, '').split(/\r+\n/)
  }

  /** Once a picture is as `pattern`; what is there at last where none is. */
  async shows(pattern: RegExp): Promise<string> {
    return readUntil(
      async () => this.picture().join('\n'),
      text => pattern.test(text),
      PATIENCE_MS,
    )
  }

  /** Once `pattern` was written; the end of what was written until then. */
  async says(pattern: RegExp): Promise<string> {
    const text = await readUntil(
      async () => this.#output,
      said => pattern.test(said),
      PATIENCE_MS,
    )
    return text.slice(-TAIL_CHARS)
  }
}
