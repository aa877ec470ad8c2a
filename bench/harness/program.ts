/** Programs that the benchmark starts: each on one CPU, and none left behind. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

/** Load generator, upstream, mixer and the benchmark itself. */
export const LOAD_CPU = 0
/** The measured proxy has this one for itself. */
export const PROXY_CPU = 1

const execute = promisify(execFile)

const START_MS = 20_000
const STOP_MS = 8_000
/** What is kept of its output, to say why it did not start. */
const KEPT_CHARS = 8_192

/** The path of a program, or nothing. Also where Debian puts servers, which is not on everybody's PATH, and in `more`. */
export function findProgram(name: string, ...more: string[]): string | undefined {
  const path = (process.env['PATH'] ?? '').split(delimiter)
  const folders = [...path, '/usr/local/sbin', '/usr/sbin', ...more]
  return folders.map(folder => join(folder, name)).find(isExecutable)
}

/** The same for what the benchmark cannot do without. Throws with the name of its Debian package. */
export function requireProgram(name: string, debianPackage: string = name): string {
  const found = findProgram(name)
  if (!found) throw new Error(`${name} is not installed (Debian package ${debianPackage})`)
  return found
}

const PIN_ATTEMPTS = 5

/** Moves this process, and so what it starts, to the CPU of the load. */
export function pinSelf(): void {
  const taskset = requireProgram('taskset', 'util-linux')
  const args = ['-acp', String(LOAD_CPU), String(process.pid)]
  for (let left = PIN_ATTEMPTS; ; left -= 1) {
    try {
      execFileSync(taskset, args, { stdio: 'ignore' })
      return
    } catch (error) {
      // A thread of ours ended between being listed and being moved.
      if (left === 1) throw error
    }
  }
}

/** Runs a program that ends by itself within so many seconds, and gives what it printed. Rejected where it fails. */
export async function runProgram(
  cpu: number,
  command: readonly string[],
  seconds: number,
): Promise<string> {
  const args = ['-c', String(cpu), ...command]
  const running = execute(requireProgram('taskset', 'util-linux'), args, {
    timeout: seconds * 1_000,
  })
  const endWithMe = (): void => void running.child.kill()
  process.once('exit', endWithMe)
  try {
    return (await running).stdout
  } finally {
    process.off('exit', endWithMe)
  }
}

export class Program {
  readonly #child: ChildProcess
  readonly #name: string
  #output = ''
  #stopping = false
  readonly #exited: Promise<unknown>
  readonly #endWithMe = (): void => void this.#child.kill('SIGTERM')

  /** `command` is a path and its arguments. `failed` is called once if it ends before it is stopped. */
  constructor(name: string, cpu: number, command: readonly string[]) {
    this.#name = name
    // taskset becomes the program, so the process id is that of the program.
    const args = ['-c', String(cpu), ...command]
    this.#child = spawn(requireProgram('taskset', 'util-linux'), args, {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-KEPT_CHARS)
      })
    }
    this.#exited = once(this.#child, 'exit')
    // Not SIGKILL: nginx and AMT end their own processes, which would outlive them otherwise.
    process.once('exit', this.#endWithMe)
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#name} did not start`)
    return this.#child.pid
  }

  /** Fulfilled when it accepts connections there; rejected when it ends first or takes too long. */
  async listening(port: number): Promise<void> {
    await this.#until(async () => accepts(port), `does not listen on port ${port}`)
  }

  /** Fulfilled when its output holds `pattern`; rejected as above. */
  async says(pattern: RegExp): Promise<void> {
    await this.#until(async () => Promise.resolve(pattern.test(this.#output)), `is not ready`)
  }

  /** Throws if it has ended by itself. */
  check(): void {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null)
      throw new Error(`${this.#name} has ended: ${this.#output.trim().slice(-1_000)}`)
  }

  async stop(): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    const kill = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGTERM')
      await this.#exited
    }
    clearTimeout(kill)
    process.off('exit', this.#endWithMe)
  }

  async #until(holds: () => Promise<boolean>, failure: string): Promise<void> {
    const deadline = performance.now() + START_MS
    while (!(await holds())) {
      this.check()
      if (performance.now() > deadline)
        throw new Error(`${this.#name} ${failure}: ${this.#output.trim().slice(-1_000)}`)
      await sleep(20)
    }
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
