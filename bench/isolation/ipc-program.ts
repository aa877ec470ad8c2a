/** A Node program of this folder that is asked over its channel, one question at a time, and answers each. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { LOAD_CPU, requireProgram } from '../harness/program.ts'

const STOP_MS = 5_000

export class IpcProgram {
  readonly #name: string
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>
  readonly #endWithMe = (): void => void this.#child.kill('SIGKILL')

  /** `file` is in this folder; it runs on the CPU of the load, behind `prefix`, with these options of Node. */
  constructor(file: string, prefix: readonly string[] = [], options: readonly string[] = []) {
    this.#name = file
    const command = [...prefix, process.execPath, ...options, join(import.meta.dirname, file)]
    const args = ['-c', String(LOAD_CPU), ...command]
    this.#child = spawn(requireProgram('taskset', 'util-linux'), args, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#exited = once(this.#child, 'exit')
    process.once('exit', this.#endWithMe)
  }

  /** Sends `question`; fulfilled with what it says next. Rejected where it ends instead, or says nothing for so long. */
  async ask<A>(question: object, seconds: number): Promise<A> {
    const { promise, resolve, reject } = Promise.withResolvers<A>()
    const fail = (what: string): void => reject(new Error(`${this.#name} ${what}`))
    const ended = (): void => fail('has ended')
    const answered = (answer: unknown): void => resolve(answer as A)
    const timer = setTimeout(() => fail('does not answer'), seconds * 1_000)
    this.#child.once('message', answered)
    this.#child.once('exit', ended)
    try {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) ended()
      else this.#child.send(question)
      return await promise
    } finally {
      clearTimeout(timer)
      this.#child.off('message', answered)
      this.#child.off('exit', ended)
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const kill = setTimeout(this.#endWithMe, STOP_MS)
      this.#child.kill('SIGTERM')
      await this.#exited
      clearTimeout(kill)
    }
    process.off('exit', this.#endWithMe)
  }
}

/** The other side: answers each question with what `answer` gives. Ends with the channel. */
export function answerQuestions(answer: (question: unknown) => Promise<object>): void {
  process.on('message', (question: unknown) => {
    void (async () => {
      process.send?.(await answer(question))
    })()
  })
  process.on('disconnect', () => process.exit(0))
}
