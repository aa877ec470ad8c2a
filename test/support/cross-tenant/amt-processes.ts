/** `amt mixer` and `amt proxy` as processes of their own, as an operator starts them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { amtCommand } from '../amt.ts'

export interface AmtProcess {
  /** The fields of the line that says that it is ready. */
  readonly ready: Readonly<Record<string, unknown>>
  /** Log lines of level warn and error so far, and what it wrote to stderr. */
  readonly complaints: readonly string[]
  /** Whether it still runs. */
  readonly alive: boolean
  /** Ends it with SIGTERM; resolves with its exit code, or the signal that ended it. */
  stop(): Promise<number | string>
}

/** Starts `amt` with those arguments and waits for the log line `ready`. It is killed at the end of the test. */
export async function startAmt(
  t: Test,
  args: readonly string[],
  ready: string,
): Promise<AmtProcess> {
  const child = spawn(...amtCommand(args), { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const complaints: string[] = []
  child.stderr.on('data', (text: Buffer) => complaints.push(text.toString()))
  const started = Promise.withResolvers<Record<string, unknown>>()
  createInterface({ input: child.stdout }).on('line', line => {
    const fields = parse(line)
    if (fields['msg'] === ready) started.resolve(fields)
    if (fields['level'] !== 'info') complaints.push(line)
  })
  const fields = await Promise.race([
    started.promise,
    exited.then(([code]) => {
      throw new Error(`amt ${args[0]} ended with ${String(code)}: ${complaints.join('\n')}`)
    }),
  ])
  return {
    ready: fields,
    complaints,
    get alive() {
      return isAlive(child)
    },
    stop: async () => {
      child.kill('SIGTERM')
      const [code, signal] = (await exited) as [number | null, string | null]
      return code ?? signal ?? 'gone'
    },
  }
}

function isAlive({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null
}

function parse(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return { level: 'text', msg: line }
  }
}
