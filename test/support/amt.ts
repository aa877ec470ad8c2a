/** Runs `amt` as its own process, as a person does at a shell. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'

export const AMT: string = join(import.meta.dirname, '..', '..', 'bin', 'amt')
const DEADLINE_MS = 120_000

export interface AmtResult {
  /** Exit code; -1 where a signal ended it. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface AmtOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

/** Fulfilled when it has ended, whatever its exit code. */
export async function runAmt(
  args: readonly string[],
  options: AmtOptions = {},
): Promise<AmtResult> {
  const env = { ...process.env, ...options.env }
  return new Promise(resolve => {
    execFile(
      ...amtCommand(args),
      { ...options, env, timeout: DEADLINE_MS },
      (error, stdout, stderr) => {
        const code = error ? (typeof error.code === 'number' ? error.code : -1) : 0
        resolve({ code, stdout, stderr })
      },
    )
  })
}

/** Program and arguments for `spawn` and the like: `amt` with those arguments. */
export function amtCommand(args: readonly string[]): [program: string, args: string[]] {
  return asAtShell(AMT, args)
}

/**
 * tap puts hooks of its own into every Node that a test starts, by NODE_OPTIONS. What is tested as a whole program runs
 * without them: so it is what people run, and starts in a fifth of the time.
 */
export function asAtShell(
  program: string,
  args: readonly string[],
): [program: string, args: string[]] {
  return ['env', ['-u', 'NODE_OPTIONS', program, ...args]]
}
