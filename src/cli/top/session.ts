/** `amt top` at a terminal: asks again and again, draws, and obeys keys, until it is quit. */
import type { ReadStream, WriteStream } from 'node:tty'
import type { Top } from '../../contracts/top.ts'
import { MAX_TOP_TENANTS } from '../../contracts/top.ts'
import { frameOf, pageOf } from './frame.ts'
import type { TopQuestion, TopResult } from './read-top.ts'
import { Terminal } from './terminal.ts'
import { keysIn, press, type View } from './view.ts'

export interface SessionOptions {
  readonly ask: (question: TopQuestion) => Promise<TopResult>
  readonly input: ReadStream
  readonly output: WriteStream
  readonly intervalMs: number
  readonly view: View
  /** The answer that it begins with. */
  readonly top: Top
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

export class TopSession {
  readonly #options: SessionOptions
  readonly #terminal: Terminal
  readonly #ended = Promise.withResolvers<void>()
  #view: View
  #top: Top
  #problem: string | undefined
  #asking = false
  /** The view has changed since it was asked. */
  #outdated = false

  constructor(options: SessionOptions) {
    this.#options = options
    this.#terminal = new Terminal(options.input, options.output)
    this.#view = options.view
    this.#top = options.top
  }

  /** Resolves when the terminal has been given back. */
  async run(): Promise<void> {
    const { input, output, intervalMs } = this.#options
    const quit = (): void => this.#ended.resolve()
    const redraw = (): void => this.#draw()
    const resume = (): void => this.#resume()
    const read = (chunk: Buffer): void => this.#read(chunk.toString('latin1'))
    for (const signal of SIGNALS) process.on(signal, quit)
    process.on('SIGCONT', resume)
    output.on('resize', redraw)
    input.on('data', read).on('end', quit).on('error', quit)
    this.#terminal.enter()
    this.#draw()
    const timer = setInterval(() => {
      if (!this.#view.paused) void this.#ask()
    }, intervalMs)
    try {
      await this.#ended.promise
    } finally {
      clearInterval(timer)
      this.#terminal.leave()
      input.off('data', read).off('end', quit).off('error', quit)
      output.off('resize', redraw)
      process.off('SIGCONT', resume)
      for (const signal of SIGNALS) process.off(signal, quit)
    }
  }

  #read(input: string): void {
    for (const key of keysIn(input)) {
      const { matching } = this.#top.tenants
      const { view, effect } = press(this.#view, key, { page: this.#page, matching })
      this.#view = view
      switch (effect) {
        case 'quit':
          this.#ended.resolve()
          return
        case 'suspend':
          this.#suspend()
          break
        case 'ask':
          void this.#ask()
          break
        case 'draw':
          this.#draw()
          break
        case 'none':
      }
    }
  }

  get #page(): number {
    return pageOf(this.#terminal.size)
  }

  /** One question at a time; what was chosen meanwhile is asked afterwards. */
  async #ask(): Promise<void> {
    if (this.#asking) {
      this.#outdated = true
      return
    }
    this.#asking = true
    do {
      this.#outdated = false
      const { by, filter, offset } = this.#view
      const limit = Math.min(offset + this.#page, MAX_TOP_TENANTS)
      const result = await this.#options.ask({ by, filter, limit })
      if ('top' in result) this.#top = result.top
      this.#problem = 'problem' in result ? result.problem : undefined
    } while (this.#outdated)
    this.#asking = false
    this.#draw()
  }

  #draw(): void {
    this.#terminal.draw(frameOf(this.#view, this.#top, this.#terminal.size, this.#problem))
  }

  /** As Ctrl-Z does where nobody reads keys one by one: the shell has the terminal until `fg`. */
  #suspend(): void {
    this.#terminal.leave()
    process.kill(process.pid, 'SIGTSTP')
  }

  #resume(): void {
    this.#terminal.leave()
    this.#terminal.enter()
    this.#draw()
  }
}
