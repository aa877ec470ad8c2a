/**
 * One process that `amt up` runs: started, waited for until it serves, started again when it dies, stopped.
 * States: starting → ready ⇄ waiting (to be started again) → stopping → stopped.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, renameSync, statSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { get as getOverTls } from 'node:https'
import { performance } from 'node:perf_hooks'

const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 10_000
/** A process that served this long and then died is started again without the pause that earlier deaths earned. */
const STEADY_MS = 30_000
const READY_DEADLINE_MS = 60_000
const READY_POLL_MS = 50
const READY_ANSWER_MS = 2_000
const LARGEST_LOG_BYTES = 16 * 1024 * 1024
const TAIL_LINES = 12

export interface ChildOptions {
  /** How people call it, such as `proxy`. */
  readonly name: string
  /** Arguments of node. */
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  /** File that takes its output. */
  readonly log: string
  /** Answers 200 once the process serves. */
  readonly readyUrl: string
  /** Path of the unix socket where it does; the address in the URL by default. */
  readonly readySocket?: string
  /** How long it may take to end in good order; then it is killed. */
  readonly stopMs: number
}

export class Child {
  readonly name: string
  readonly log: string
  readonly #options: ChildOptions
  readonly #say: (line: string) => void
  #state: 'starting' | 'ready' | 'waiting' | 'stopping' | 'stopped' = 'starting'
  #process: ChildProcess | undefined
  #restart: NodeJS.Timeout | undefined
  #pauseMs = FIRST_PAUSE_MS
  #startedAt = 0
  /** Where in the log the output of this run begins. */
  #logStart = 0

  /** `say` takes lines for the person at the terminal. */
  constructor(options: ChildOptions, say: (line: string) => void) {
    this.name = options.name
    this.log = options.log
    this.#options = options
    this.#say = say
  }

  /** Starts it and waits until it serves. Rejected when it ends before, or takes a minute. From then on it is kept running. */
  async start(): Promise<void> {
    this.#logStart = makeRoom(this.log)
    const process = this.#spawn()
    const deadline = performance.now() + READY_DEADLINE_MS
    while (this.#state === 'starting') {
      if (hasEnded(process)) throw new Error(`${this.name} ended at once (${reasonOf(process)})`)
      if (performance.now() > deadline) throw new Error(`${this.name} does not get ready`)
      if (await answers(this.#options)) break
      await pause(process, READY_POLL_MS)
    }
    if (this.#state !== 'starting') throw new Error(`${this.name} was stopped`)
    this.#state = 'ready'
    this.#keep(process)
  }

  /** Ends it in good order, and by force after `stopMs`; also while it starts. Fulfilled when it is gone. */
  async stop(): Promise<void> {
    if (this.#state === 'stopped') return
    this.#state = 'stopping'
    clearTimeout(this.#restart)
    const process = this.#process
    if (process && !hasEnded(process)) {
      const force = setTimeout(() => this.kill(), this.#options.stopMs)
      const ended = once(process, 'exit')
      process.kill('SIGTERM')
      await ended
      clearTimeout(force)
    }
    this.#state = 'stopped'
  }

  /** Ends it by force. */
  kill(): void {
    this.#process?.kill('SIGKILL')
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal)
  }

  /** The last lines that it wrote since `start`. */
  lastLines(): string[] {
    const lines = readFileSync(this.log)
      .subarray(this.#logStart)
      .toString('utf8')
      .trim()
      .split('\n')
    return lines.slice(-TAIL_LINES).filter(line => line !== '')
  }

  #spawn(): ChildProcess {
    const { args, env, cwd, log } = this.#options
    const output = openSync(log, 'a', 0o600)
    try {
      // A group of its own: Ctrl-C in a terminal would reach all at once, and the mixer must outlive the proxy.
      const process = spawn(globalThis.process.execPath, args, {
        env,
        cwd,
        detached: true,
        stdio: ['ignore', output, output, 'ipc'],
      })
      process.on('error', error => this.#say(`${this.name}: ${error.message}`))
      this.#process = process
      this.#startedAt = performance.now()
      return process
    } finally {
      closeSync(output)
    }
  }

  /** Says when a process that was started again serves. */
  async #announce(process: ChildProcess): Promise<void> {
    while (this.#state === 'ready' && this.#process === process && !hasEnded(process)) {
      if (await answers(this.#options)) return this.#say(`${this.name} runs again`)
      await pause(process, READY_POLL_MS)
    }
  }

  #keep(process: ChildProcess): void {
    const restart = (): void => {
      if (this.#state !== 'ready') return
      if (performance.now() - this.#startedAt > STEADY_MS) this.#pauseMs = FIRST_PAUSE_MS
      const seconds = this.#pauseMs / 1_000
      this.#say(
        `${this.name} ended (${reasonOf(process)}); it starts again in ${seconds} s; its log: ${this.log}`,
      )
      this.#state = 'waiting'
      this.#restart = setTimeout(() => {
        this.#state = 'ready'
        const next = this.#spawn()
        this.#keep(next)
        void this.#announce(next)
      }, this.#pauseMs)
      this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS)
    }
    if (hasEnded(process)) restart()
    else process.once('exit', restart)
  }
}

/** Size of the log. One that has grown large is put aside first, over the one that was put aside before. */
function makeRoom(log: string): number {
  const size = statSync(log, { throwIfNoEntry: false })?.size ?? 0
  if (size < LARGEST_LOG_BYTES) return size
  renameSync(log, `${log}.1`)
  return 0
}

function hasEnded(process: ChildProcess): boolean {
  return process.exitCode !== null || process.signalCode !== null || process.pid === undefined
}

function reasonOf(process: ChildProcess): string {
  return process.signalCode ?? `exit code ${process.exitCode ?? 'unknown'}`
}

/** Waits that long, or until the process ends. */
async function pause(process: ChildProcess, ms: number): Promise<void> {
  await new Promise<void>(resolve => {
    const timer = setTimeout(done, ms)
    process.once('exit', done)
    function done(): void {
      clearTimeout(timer)
      process.off('exit', done)
      resolve()
    }
  })
}

async function answers({
  readyUrl: url,
  readySocket: socketPath,
}: Pick<ChildOptions, 'readyUrl' | 'readySocket'>): Promise<boolean> {
  return new Promise(resolve => {
    const common = { agent: false, timeout: READY_ANSWER_MS } as const
    const take = (response: IncomingMessage): void => {
      response.resume()
      resolve(response.statusCode === 200)
    }
    // Its name may be another than its address. Nothing is told to it, and nothing believed but that it answers.
    const request = url.startsWith('https:')
      ? getOverTls(url, { ...common, rejectUnauthorized: false }, take)
      : get(url, { ...common, socketPath }, take)
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(false))
  })
}
