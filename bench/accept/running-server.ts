/** The measured program while it runs. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { childrenOf, cpuSeconds } from '../harness/process-stat.ts'
import type { ServerOptions } from './ways.ts'

const PROGRAM = join(import.meta.dirname, 'server.ts')

export class RunningServer {
  readonly port: number
  readonly #child: ChildProcess
  readonly #heard: string[] = []
  #wake: () => void = () => {}

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  static async start(options: ServerOptions): Promise<RunningServer> {
    const child = spawn(process.execPath, [PROGRAM, JSON.stringify(options)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const lines = createInterface(child.stdout)
    const port = await new Promise<number>((resolve, reject) => {
      child.once('exit', code => reject(new Error(`the server ended with ${code}`)))
      lines.on('line', line => {
        if (line.startsWith('ready ')) resolve(Number(line.slice('ready '.length)))
      })
    })
    const server = new RunningServer(child, port)
    lines.on('line', line => {
      server.#heard.push(line)
      server.#wake()
    })
    return server
  }

  /** CPU seconds since its start, of the primary and of its workers. */
  cpu(): { primary: number; workers: number } {
    const pid = this.#child.pid ?? 0
    return { primary: cpuSeconds([pid]), workers: cpuSeconds(childrenOf(pid)) }
  }

  /** Ends a worker; resolves when the one that takes its place serves. */
  async end(how: 'drain' | 'kill', worker: number): Promise<void> {
    this.#heard.length = 0
    this.#child.stdin?.write(`${how} ${worker}\n`)
    while (!this.#heard.includes(`serves ${worker}`))
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.stdin?.end()
    await ended
  }
}
