/** Bad deployments and those who call them, in a process of their own: what they cost is not the test's, nor the proxy's. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Version } from './quiet-tenant.ts'

export interface Noise {
  /** Of `BAD_DEPLOYMENTS`. */
  readonly deployment: string
  /** What the deployment speaks. */
  readonly upstream: Version
  /** Its callers upload, or do not read. */
  readonly uploads?: boolean
  readonly unread?: boolean
  /** Of the proxy. */
  readonly port: number
}

export interface NoiseFigures {
  /** That the deployment has had since the noise began. */
  readonly connections: number
  /** Calls that ended in whatever way, by the version of their clients. */
  readonly over: readonly number[]
}

export type NoiseOrder =
  | { readonly kind: 'begin'; readonly noise: Noise }
  | { readonly kind: 'end' | 'open' | 'cut' }
export type NoiseAnswer =
  | { readonly kind: 'ready'; readonly urls: Readonly<Record<Version, string>> }
  | { readonly kind: 'begun' | 'cut' }
  | { readonly kind: 'ended'; readonly figures: NoiseFigures }
  | { readonly kind: 'open'; readonly connections: number }

const CHILD = join(import.meta.dirname, 'noise-child.ts')

export class NoiseProcess {
  readonly urls: Readonly<Record<Version, string>>
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, urls: Readonly<Record<Version, string>>) {
    this.#child = child
    this.urls = urls
  }

  static async start(t: Test): Promise<NoiseProcess> {
    const { NODE_OPTIONS: _, ...env } = process.env
    const child = fork(CHILD, { env, execArgv: [] })
    t.teardown(async () => {
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    })
    const { urls } = await answer(child, 'ready')
    return new NoiseProcess(child, urls)
  }

  async begin(noise: Noise): Promise<void> {
    await this.#ask({ kind: 'begin', noise }, 'begun')
  }

  /** The callers vanish. */
  async end(): Promise<NoiseFigures> {
    return (await this.#ask({ kind: 'end' }, 'ended')).figures
  }

  /** Connections that the deployment has. */
  async open(): Promise<number> {
    return (await this.#ask({ kind: 'open' }, 'open')).connections
  }

  /** The deployment resets what it has. */
  async cut(): Promise<void> {
    await this.#ask({ kind: 'cut' }, 'cut')
  }

  #ask<K extends NoiseAnswer['kind']>(
    order: NoiseOrder,
    kind: K,
  ): Promise<Extract<NoiseAnswer, { kind: K }>> {
    this.#child.send(order)
    return answer(this.#child, kind)
  }
}

async function answer<K extends NoiseAnswer['kind']>(
  child: ChildProcess,
  kind: K,
): Promise<Extract<NoiseAnswer, { kind: K }>> {
  const [message] = (await once(child, 'message')) as [NoiseAnswer]
  if (message.kind !== kind) throw new Error(`it answers ${message.kind} instead of ${kind}`)
  return message as Extract<NoiseAnswer, { kind: K }>
}
