/**
 * A proxy under attack, alone in its process: its CPU and memory are measured there. Beside the tenant whose clients or
 * deployment attack, it has a bystander, whose calls have to be answered all the time.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { BoundAddress } from '../../../src/proxy/ipc.ts'

export interface AttackedFigures {
  /** Of the process, since its beginning: before these figures were collected, and behind it. */
  readonly cpuMs: number
  readonly cpuAfterMs: number
  /** The longest that its loop did not turn since the figures before, in CPU. */
  readonly stallMs: number
  /** The most memory that the process ever had. */
  readonly peakBytes: number
  /** What is left behind a collection. */
  readonly heldBytes: number
  readonly residentBytes: number
  readonly connections: number
  /** `amt_rejected_total` by reason. */
  readonly rejected: Readonly<Record<string, number>>
}

export type ParentMessage = { readonly kind: 'figures' } | { readonly kind: 'close' }
export type ChildMessage =
  | { readonly kind: 'ready'; readonly bound: readonly BoundAddress[] }
  | { readonly kind: 'figures'; readonly figures: AttackedFigures }

const CHILD = join(import.meta.dirname, 'attacked-proxy-child.ts')
const PATIENCE_MS = 20_000

export class AttackedProxy {
  readonly #child: ChildProcess
  readonly #bound: readonly BoundAddress[]

  private constructor(child: ChildProcess, bound: readonly BoundAddress[]) {
    this.#child = child
    this.#bound = bound
  }

  /** As `startProxy` in this process; the end of the test closes it. */
  static async start(t: Test, config: Record<string, unknown>): Promise<AttackedProxy> {
    // Without what tap puts into every Node: it would be measured as well.
    const { NODE_OPTIONS: _, ...env } = process.env
    const child = fork(CHILD, {
      env,
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    child.send(config)
    const ready = await answer(child, 'ready')
    const proxy = new AttackedProxy(child, ready.bound)
    t.teardown(() => proxy.#close())
    return proxy
  }

  port(listener = 'public'): number {
    const { address = '' } = this.#bound.find(bound => bound.listener === listener) ?? {}
    return Number(address.slice(address.lastIndexOf(':') + 1))
  }

  async figures(): Promise<AttackedFigures> {
    this.#child.send({ kind: 'figures' } satisfies ParentMessage)
    return (await answer(this.#child, 'figures')).figures
  }

  async #close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    const force = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE_MS)
    if (this.#child.connected) this.#child.send({ kind: 'close' } satisfies ParentMessage)
    await exited
    clearTimeout(force)
  }
}

/** The next message of that kind; rejects where the process ends before, or says nothing for too long. */
async function answer<K extends ChildMessage['kind']>(
  child: ChildProcess,
  kind: K,
): Promise<Extract<ChildMessage, { kind: K }>> {
  const { promise, resolve, reject } = Promise.withResolvers<Extract<ChildMessage, { kind: K }>>()
  const look = (message: ChildMessage): void => {
    if (message.kind === kind) resolve(message as Extract<ChildMessage, { kind: K }>)
  }
  const gone = (): void => reject(new Error(`the proxy ended before it said '${kind}'`))
  const timer = setTimeout(() => reject(new Error(`no '${kind}' of the proxy`)), PATIENCE_MS)
  child.on('message', look)
  child.once('exit', gone)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    child.off('message', look)
    child.off('exit', gone)
  }
}
