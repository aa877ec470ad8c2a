/** Programs that tests start: those that run beside a test until it ends, and those that are over with one command. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { buffer, text } from 'node:stream/consumers'
import type { Test } from 'tap'

/** Nothing that a test waits for takes a tenth of it on an idle machine. */
const PATIENCE_MS = 20_000
const ENDED_BY_SIGNAL = -1

export interface ProgramOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

/** A program beside the test, with the lines that it prints. */
export class Program {
  readonly lines: string[] = []
  /** Its exit code, -1 where a signal ended it; fulfilled when all of its output has been read. */
  readonly ended: Promise<number>
  readonly #child: ChildProcess
  readonly #name: string
  readonly #errors: string[] = []
  readonly #waiting = new Set<() => void>()

  /** Starts it; the end of the test ends it by SIGTERM, or by SIGKILL where that takes too long. */
  constructor(t: Test, [name, args]: readonly [string, string[]], options: ProgramOptions = {}) {
    this.#name = [name, ...args].join(' ')
    const child = spawn(name, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    this.ended = new Promise(resolve => {
      child.once('error', error => this.#errors.push(error.message))
      child.once('close', code => resolve(code ?? ENDED_BY_SIGNAL))
    })
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => this.#errors.push(chunk))
    createInterface(child.stdout).on('line', line => {
      this.lines.push(line)
      for (const look of this.#waiting) look()
    })
    t.teardown(async () => this.stop())
  }

  /** Of the process, also after its end; undefined where it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid
  }

  /** What it has said on stderr. */
  get errors(): string {
    return this.#errors.join('')
  }

  /** The first line that matches, whether it came already or comes yet; rejects with what is known where none comes. */
  async line(pattern: RegExp, patienceMs = PATIENCE_MS): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const look = (): void => {
      const found = this.lines.find(line => pattern.test(line))
      if (found !== undefined) resolve(found)
    }
    const fail = (why: string): void => {
      const said = [...this.lines.slice(-5), ...this.#errors].join('\n')
      reject(new Error(`${this.#name}: ${why} instead of ${String(pattern)}; it said:\n${said}`))
    }
    const timer = setTimeout(fail, patienceMs, 'too late')
    void this.ended.then(code => fail(`ended with ${code}`))
    this.#waiting.add(look)
    look()
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(look)
    }
  }

  /** Ends it and gives its exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    const force = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE_MS)
    this.#child.kill(signal)
    const code = await this.ended
    clearTimeout(force)
    return code
  }
}

/** Until something listens at `port` of 127.0.0.1: of programs that do not say when they are ready. */
export async function listening(program: Program, port: number): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (performance.now() < deadline) {
    const socket = connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return
    } catch {
      await new Promise(resolve => setTimeout(resolve, 20))
    } finally {
      socket.destroy()
    }
  }
  // With what it said.
  await program.line(/$^/)
}

export interface CommandResult {
  /** Exit code, -1 where a signal ended it. */
  readonly code: number
  /** As bytes: what a test stores may be binary. */
  readonly stdout: Buffer
  readonly stderr: string
}

/** Runs one command to its end, with `input` on its stdin; never rejects for its exit code. */
export async function runCommand(
  [name, args]: readonly [string, readonly string[]],
  {
    input = '',
    timeout = PATIENCE_MS,
    ...options
  }: ProgramOptions & { readonly input?: string | Buffer; readonly timeout?: number } = {},
): Promise<CommandResult> {
  const child = spawn(name, args, { ...options, stdio: 'pipe', timeout })
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve(code ?? ENDED_BY_SIGNAL))
  })
  // It may end before it has read everything.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const [code, stdout, stderr] = await Promise.all([
    ended,
    buffer(child.stdout),
    text(child.stderr),
  ])
  return { code, stdout, stderr }
}

/**
 * For the `skip` of a test: what is missing on this machine, as a sentence, or false where nothing is. `packages`: of each
 * program the one of `source` that has it.
 */
export function skipWithout(
  packages: Readonly<Record<string, string>>,
  source = 'Debian',
): string | false {
  const missing = Object.entries(packages).filter(([program]) => !isInstalled(program))
  if (missing.length === 0) return false
  return missing
    .map(([program, name]) => `${program} is not installed (${source} package ${name})`)
    .join(', ')
}

function isInstalled(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some(folder => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
