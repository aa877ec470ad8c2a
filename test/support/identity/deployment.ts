/** A deployment as a process of its own that calls the mixer; what it says of itself is for the test to choose. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'

export interface DeploymentPlan {
  readonly listen: readonly { readonly host: string; readonly port: number }[]
}

export interface DeploymentCall {
  readonly url: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** `itself` by default. */
  readonly by?: 'itself' | 'child'
  readonly localAddress?: string
  /** PEM files. */
  readonly cert?: string
  readonly key?: string
  readonly ca?: string
}

export interface Deployment {
  /** In the order of the plan. */
  readonly ports: readonly number[]
  readonly pid: number
  /** One at a time. On one connection, as long as that is kept. */
  call(call: DeploymentCall): Promise<{
    readonly status?: number
    readonly body?: Readonly<Record<string, unknown>>
    readonly error?: string
  }>
  stop(): Promise<void>
}

export interface DeploymentOptions {
  /** `[[host, port]…]`; port 0 is a free one. */
  readonly listen?: readonly (readonly [host: string, port: number])[]
  /** What starts it, such as `ip netns exec …`. */
  readonly prefix?: readonly string[]
}

const PROGRAM = join(import.meta.dirname, 'deployment-program.ts')

export async function startDeployment(
  t: Test,
  { listen = [], prefix = [] }: DeploymentOptions = {},
): Promise<Deployment> {
  const plan: DeploymentPlan = { listen: listen.map(([host, port]) => ({ host, port })) }
  const command = [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    PROGRAM,
    JSON.stringify(plan),
  ]
  const [program = '', ...args] = prefix.concat(command)
  // A process group of its own, as supervisors do it: this very process is not of the deployment.
  const child = spawn(program, args, { detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
  child.stderr.pipe(process.stderr)
  t.teardown(() => stop(child))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async <T>(): Promise<T> => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error('the deployment has ended')
    return JSON.parse(value) as T
  }
  const { listening } = await next<{ listening: number[] }>()
  return {
    ports: listening,
    pid: child.pid ?? 0,
    async call(call) {
      child.stdin.write(`${JSON.stringify(call)}\n`)
      return next()
    },
    stop: () => stop(child),
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
