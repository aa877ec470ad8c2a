/**
 * `amt proxy` and `amt mixer` as processes that can be killed at any moment, and are started again at the same places, as a
 * supervisor does it that knows nothing of them.
 */
import { readdirSync, readFileSync } from 'node:fs'
import type { Test } from 'tap'
import type { Program } from '../program.ts'
import {
  FIT_FOR_TESTS,
  launchPart,
  MIXER,
  type PartName,
  type ReadyLine,
  readyLine,
} from '../running-amt.ts'

/** A part that ended by itself is not started again at once. */
const RETRY_MS = 200
/** So many starts in a row that fail are no bad luck. */
const MAX_FAILED_STARTS = 15

/** So small that the next one begins all the time. */
const SEGMENT = '32KiB'

/** One part, kept running until it is told to stop. */
export class Supervised {
  readonly #launch: () => Promise<Program>
  readonly #outageMs: () => number
  readonly #note: (line: string) => void
  #program: Program | undefined
  #wanted = true
  #failed = 0
  /** Starts that failed, over all. */
  failedStarts = 0
  /** Everything that it said, in all its lives. */
  readonly lives: Program[] = []
  #loop: Promise<void> = Promise.resolve()
  #ready = Promise.withResolvers<ReadyLine>()

  constructor(
    launch: () => Promise<Program>,
    { outageMs, note }: { readonly outageMs: () => number; readonly note: (line: string) => void },
  ) {
    this.#launch = launch
    this.#outageMs = outageMs
    this.#note = note
  }

  start(): void {
    this.#loop = this.#run()
    this.#loop.catch((error: unknown) => this.#ready.reject(error))
  }

  /** The next time, or now where it is. */
  get ready(): Promise<ReadyLine> {
    return this.#ready.promise
  }

  get pid(): number | undefined {
    return this.#program?.pid
  }

  /** Ends it in good order and for good; its exit code. */
  async stop(): Promise<number> {
    await this.ready
    this.#wanted = false
    const code = (await this.#program?.stop()) ?? 0
    await this.#loop
    return code
  }

  /** It is not started again. */
  abandon(): void {
    this.#wanted = false
  }

  async #run(): Promise<void> {
    while (this.#wanted) {
      const program = await this.#launch()
      this.lives.push(program)
      this.#program = program
      void readyLine(program).then(
        line => {
          this.#failed = 0
          this.#ready.resolve(line)
        },
        () => {},
      )
      const code = await program.ended
      this.#program = undefined
      // Those who wait go on waiting for the next life.
      const settled = this.#ready
      this.#ready = Promise.withResolvers<ReadyLine>()
      void this.#ready.promise.then(settled.resolve, settled.reject)
      if (!this.#wanted) return
      if (code > 0) this.#noteFailure(program, code)
      await pause(code > 0 ? RETRY_MS : this.#outageMs())
    }
  }

  #noteFailure(program: Program, code: number): void {
    this.failedStarts++
    this.#failed++
    this.#note(`ended by itself with ${code}: ${program.lines.at(-1) ?? ''}`)
    if (this.#failed > MAX_FAILED_STARTS) throw new Error(`does not start: ${program.lines.at(-1)}`)
  }
}

export interface SupervisedOptions {
  readonly folder: string
  /** The configuration, its places fixed; without `mixer`. */
  readonly config: Record<string, unknown>
  /** `host:port` of the mixer. */
  readonly mixer: string
  /** How long the mixer stays away after its death. */
  readonly mixerOutageMs: () => number
  readonly note: (line: string) => void
}

/** The proxy starts at once, the mixer when it is told to. */
export class SupervisedAmt {
  readonly mixerUrl: string
  readonly mixer: Supervised
  #proxy: Supervised
  /** All that there were. */
  readonly proxies: Supervised[] = []
  readonly #newProxy: () => Supervised

  constructor(t: Test, { folder, config, mixer, mixerOutageMs, note }: SupervisedOptions) {
    this.mixerUrl = `http://${mixer}`
    const settings = {
      ...FIT_FOR_TESTS,
      ...config,
      mixer: { ...MIXER, segment: SEGMENT, listen: mixer, url: this.mixerUrl },
    }
    const supervise = (name: PartName, outageMs: () => number): Supervised =>
      new Supervised(async () => launchPart(t, name, folder, settings), {
        outageMs,
        note: line => note(`${name} ${line}`),
      })
    this.mixer = supervise('mixer', mixerOutageMs)
    this.#newProxy = () => supervise('proxy', () => 0)
    this.#proxy = this.#startProxy()
  }

  #startProxy(): Supervised {
    const proxy = this.#newProxy()
    this.proxies.push(proxy)
    proxy.start()
    return proxy
  }

  get proxy(): Supervised {
    return this.#proxy
  }

  /** Processes of the proxy's workers. */
  get workers(): number[] {
    const { pid } = this.#proxy
    return pid === undefined ? [] : childrenOf(pid)
  }

  /** Neither part is started again; what runs ends with the test. */
  abandon(): void {
    this.mixer.abandon()
    this.#proxy.abandon()
  }

  /** A new life of the proxy, after it was stopped. */
  startProxyAgain(): void {
    this.#proxy = this.#startProxy()
  }
}

export function isRunning(pid: number): boolean {
  return statOf(pid) !== undefined
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(pid => statOf(pid)?.parent === parent)
}

/** Undefined where there is no such process, or nothing of it but its exit code. */
function statOf(pid: number): { parent: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' || state === 'X' ? undefined : { parent: Number(parent) }
  } catch {
    return undefined
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, ms))
}
