/** `amt proxy` over a population, with its log to wait for. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { freePorts } from '../../test/support/free-ports.ts'
import { childrenOf } from '../harness/process-stat.ts'
import { requireProgram } from '../harness/program.ts'
import type { Population } from './population.ts'

const AMT = join(import.meta.dirname, '../../bin/amt')
const PATIENCE_MS = 120_000
const STOP_MS = 5_000

export interface ProxyOptions {
  readonly population: Population
  readonly workers: number
  /** The CPU for it; all by default. */
  readonly cpu?: number
}

type LogLine = Readonly<Record<string, unknown>>

export class RunningProxy {
  readonly port: number
  /** From the start of the process to its word that all workers serve. */
  readonly startMs: number
  readonly #child: ChildProcess
  readonly #log: Log

  private constructor(parts: { port: number; startMs: number; child: ChildProcess; log: Log }) {
    this.port = parts.port
    this.startMs = parts.startMs
    this.#child = parts.child
    this.#log = parts.log
  }

  static async start(options: ProxyOptions): Promise<RunningProxy> {
    const { population, workers, cpu } = options
    const [port = 0, mixer = 0] = await freePorts(2)
    const file = join(population.folder, 'amt.yaml')
    writeFileSync(file, JSON.stringify(configOf(options, port, mixer)), { mode: 0o600 })
    // The benchmark itself keeps to one CPU, and so would what it starts.
    const cpuList = cpu === undefined ? `0-${cpus().length - 1}` : String(cpu)
    const command = [AMT, 'proxy', '--config', file, '--workers', String(workers)]
    const started = performance.now()
    const child = spawn(requireProgram('taskset', 'util-linux'), ['-c', cpuList, ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const end = (): void => void child.kill('SIGTERM')
    process.once('exit', end)
    child.once('exit', () => process.off('exit', end))
    const log = new Log(child)
    await log.next(({ msg }) => msg === 'ready')
    return new RunningProxy({ port, startMs: performance.now() - started, child, log })
  }

  get primary(): number {
    return this.#child.pid as number
  }

  get workers(): number[] {
    return childrenOf(this.primary)
  }

  /** Milliseconds from the call of `change` to the word that all workers have taken it. */
  async timeOf(change: () => void): Promise<number> {
    const applied = this.#log.next(({ msg }) => msg === 'configuration reloaded')
    const started = performance.now()
    change()
    await applied
    return performance.now() - started
  }

  async stop(): Promise<void> {
    const kill = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
    this.#child.kill('SIGTERM')
    if (this.#child.exitCode === null && this.#child.signalCode === null)
      await once(this.#child, 'exit')
    clearTimeout(kill)
  }
}

/** Lines of a program's log as they come. */
class Log {
  readonly #waiting = new Set<(line: LogLine | undefined) => void>()
  #last = ''

  constructor(child: ChildProcess) {
    if (child.stdout === null) throw new Error('no output to read')
    createInterface({ input: child.stdout }).on('line', text => {
      this.#last = text
      let line: LogLine
      try {
        line = JSON.parse(text) as LogLine
      } catch {
        return
      }
      for (const hear of this.#waiting) hear(line)
    })
    child.on('exit', () => {
      for (const hear of this.#waiting) hear(undefined)
    })
  }

  /** The next line that `is` it. Rejected where the program ends, or takes too long. */
  async next(is: (line: LogLine) => boolean): Promise<LogLine> {
    const { promise, resolve, reject } = Promise.withResolvers<LogLine>()
    const timer = setTimeout(
      () => reject(new Error(`nothing for long: ${this.#last}`)),
      PATIENCE_MS,
    )
    const hear = (line: LogLine | undefined): void => {
      if (line === undefined) reject(new Error(`amt proxy has ended: ${this.#last}`))
      else if (is(line)) resolve(line)
    }
    this.#waiting.add(hear)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(hear)
    }
  }
}

function configOf({ population }: ProxyOptions, port: number, mixer: number): object {
  return {
    service: { name: 'orders', operations: [{ name: 'read-order', match: 'GET /v1/orders/:id' }] },
    listeners: [{ name: 'public', mode: 'shared', address: `127.0.0.1:${port}` }],
    tenants: [],
    tenantSources: population.sources,
    // All of them watched, none of them reached.
    limits: { requests: '1000000/s', burst: 1_000_000, ingress: '10GiB/s', egress: '10GiB/s' },
    timeouts: { drain: '1s' },
    // Nobody is there: usage waits in the journal, and costs what it costs.
    mixer: {
      url: `http://127.0.0.1:${mixer}`,
      token: 'token-of-the-benchmark',
      journal: 'journal',
    },
    ledger: 'sqlite:ledger.db',
    admin: { address: '127.0.0.1:0' },
    log: { access: 'off' },
  }
}
