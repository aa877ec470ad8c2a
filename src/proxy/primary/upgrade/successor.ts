/** The process that is to take the place of this primary, as the primary that is still in charge sees it. */
import { type ChildProcess, type SendHandle, spawn } from 'node:child_process'
import type { HeldSocket } from '../listening-sockets.ts'
import {
  type FromSuccessor,
  type Inheritance,
  type Legacy,
  PROTOCOL,
  type ToSuccessor,
} from './messages.ts'

/** For reading very many tenants and starting all workers. */
const SERVING_TIMEOUT_MS = 120_000

const LAST_WORDS_MS = 1_000

/** What is run. */
export interface Command {
  readonly program: string
  readonly args: readonly string[]
}

export type UpgradeResult =
  | { readonly ok: true; readonly pid: number }
  /** Nothing has changed. `exitCode` as in `FromSuccessor`. */
  | { readonly ok: false; readonly problems: readonly string[]; readonly exitCode: number }

export class Successor {
  readonly #process: ChildProcess
  readonly #outcome = Promise.withResolvers<UpgradeResult>()
  readonly #timer: NodeJS.Timeout
  #settled = false

  /** Starts it with the environment, the folder and the output of this process. */
  constructor(
    { program, args }: Command,
    sockets: readonly HeldSocket[],
    inheritance: Inheritance,
    timeoutMs = SERVING_TIMEOUT_MS,
  ) {
    const process = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#process = process
    this.#timer = setTimeout(
      () => this.#fail(`it does not serve after ${timeoutMs / 1_000} s`),
      timeoutMs,
    )
    process.on('error', error => this.#fail(`it cannot be started: ${error.message}`))
    process.on('exit', (code, signal) => {
      this.#fail(`it ended before it served (${signal ?? `exit code ${code}`})`)
    })
    process.on('message', (message: FromSuccessor) => {
      if (message.kind === 'hello') this.#greeted(message.protocol, sockets, inheritance)
      else if (message.kind === 'failed')
        this.#settle({ ok: false, problems: message.problems, exitCode: message.exitCode })
      else this.#settle({ ok: true, pid: process.pid as number })
    })
  }

  /** Whether it serves. Where it does not, its process is gone, or is killed. Never rejects. */
  get outcome(): Promise<UpgradeResult> {
    return this.#outcome.promise
  }

  /** It is in charge from now on. */
  handOver(legacy: Legacy): void {
    this.#send({ kind: 'yours', ...legacy })
  }

  /** Nobody writes this journal any more. */
  gone(producer: string): void {
    this.#send({ kind: 'gone', producer })
  }

  /** This process ends, and that one goes on by itself. Resolves when all that was said to it has left. */
  async release(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#process.once('disconnect', resolve)
    if (this.#process.connected) this.#process.disconnect()
    else resolve()
    await promise
    this.#process.unref()
  }

  /** It is not wanted after all. */
  abandon(why: string): void {
    this.#fail(why)
    this.#process.kill('SIGKILL')
  }

  #greeted(protocol: number, sockets: readonly HeldSocket[], inheritance: Inheritance): void {
    if (protocol !== PROTOCOL) {
      this.#fail('it takes over in another way than this version hands over; restart instead')
      return
    }
    for (const { place, handle } of sockets) this.#send({ kind: 'socket', place }, handle)
    this.#send({ kind: 'begin', ...inheritance })
  }

  #send(message: ToSuccessor, handle?: HeldSocket['handle']): void {
    // A channel that breaks is an end, and that is noticed by itself.
    if (this.#process.connected)
      this.#process.send(message, handle as unknown as SendHandle, () => {})
  }

  #fail(problem: string): void {
    this.#settle({
      ok: false,
      problems: [`the new version does not take over: ${problem}`],
      exitCode: 1,
    })
  }

  #settle(outcome: UpgradeResult): void {
    if (this.#settled) return
    this.#settled = true
    clearTimeout(this.#timer)
    this.#outcome.resolve(outcome)
    // It may have something to say about its end.
    if (!outcome.ok) setTimeout(() => this.#process.kill('SIGKILL'), LAST_WORDS_MS)
  }
}
