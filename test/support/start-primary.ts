/** The primary of a proxy with fake workers, in the process of the test, on free ports and with folders of its own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type ConfigStore, openConfig } from '../../src/config/config-store.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { type ProxyBooks, proxyBooksSchema } from '../../src/contracts/reconcile.ts'
import { runProxy } from '../../src/proxy/app.ts'
import type { BoundAddress } from '../../src/proxy/ipc.ts'
import type { PreparedWorkers } from '../../src/proxy/primary/prepared-workers.ts'
import type { ProxyResult } from '../../src/proxy/proxy-options.ts'
import type { SignalHandlers } from '../../src/runtime/signals.ts'
import { LogLines } from './log-lines.ts'
import { TOKEN } from './start-mixer.ts'

/** Asked all of the time, it would have no time for what it is asked about. */
const ASK_AGAIN_MS = 20

export const FAKE_WORKER = join(import.meta.dirname, 'fake-worker.ts')

export interface PrimaryOptions {
  readonly mixerUrl?: string
  /** Merged over the smallest configuration that runs. */
  readonly config?: Record<string, unknown>
  readonly workers?: number
  /** Instead of what the configuration says. */
  readonly commandLineWorkers?: number
  /** An existing folder, for a second start. */
  readonly folder?: string
  /** Workers that serve, instead of those that only say so. */
  readonly realWorkers?: true
  /** Forked before. */
  readonly prepared?: PreparedWorkers
}

export class StartedPrimary {
  readonly folder: string
  readonly log: LogLines
  readonly ended: Promise<ProxyResult>
  readonly signals: SignalHandlers
  readonly #configPath: string
  readonly #settings: Record<string, unknown>

  constructor(t: Test, options: PrimaryOptions) {
    const { mixerUrl, config = {}, workers = 1, folder, prepared, realWorkers } = options
    const { commandLineWorkers } = options
    this.folder = folder ?? newFolder(t)
    this.#configPath = join(this.folder, 'amt.yaml')
    this.#settings = { ...minimal(mixerUrl ?? 'http://127.0.0.1:9'), workers, ...config }
    this.writeConfig({})
    this.log = new LogLines()
    let handlers: SignalHandlers | undefined
    this.ended = runProxy({
      store: this.#open(prepared),
      ...(commandLineWorkers === undefined ? {} : { workers: commandLineWorkers }),
      logger: this.log.logger,
      workerEntry: realWorkers === true ? undefined : FAKE_WORKER,
      prepared,
      signals: given => {
        handlers = given
        return () => {}
      },
    })
    if (handlers === undefined) throw new Error('the proxy does not listen to signals')
    this.signals = handlers
    let running = true
    void this.ended.then(() => {
      running = false
    })
    t.teardown(async () => {
      if (!running) return
      this.signals.stop('SIGTERM')
      this.signals.stop('SIGTERM')
      await this.ended
    })
  }

  load(): Config {
    const loaded = loadConfig(this.#configPath, { env: {} })
    if ('problems' in loaded) throw new Error(JSON.stringify(loaded.problems))
    return loaded.config
  }

  /** As the command does it. */
  #open(prepared: PreparedWorkers | undefined): ConfigStore {
    const onTenant = prepared && ((_: unknown, text: string) => prepared.add(text))
    const opened = openConfig(this.#configPath, { env: {}, onTenant })
    if ('problems' in opened) throw new Error(JSON.stringify(opened.problems))
    prepared?.allAdded()
    return opened.store
  }

  /** The configuration of the start with `changes`. */
  writeConfig(changes: Record<string, unknown>): void {
    // JSON is YAML, too.
    writeFileSync(this.#configPath, JSON.stringify({ ...this.#settings, ...changes }))
  }

  async adminUrl(): Promise<string> {
    return `http://${String((await this.log.first('ready')).admin)}`
  }

  async get(path: string): Promise<{ status: number; body: string }> {
    const response = await fetch(`${await this.adminUrl()}${path}`)
    return { status: response.status, body: await response.text() }
  }

  async json<T = Record<string, unknown>>(path: string): Promise<T> {
    return JSON.parse((await this.get(path)).body) as T
  }

  /** The books, once this many calls are counted and the ledger has them all. That shows no event, so it is asked for now and then. */
  async booked(calls: number): Promise<ProxyBooks> {
    for (;;) {
      const books = proxyBooksSchema.parse(await this.json('/reconcile'))
      const { counted, acknowledged } = books.totals
      if (Number(counted.calls) === calls && Number(acknowledged.calls) === calls) return books
      await new Promise(resolve => setTimeout(resolve, ASK_AGAIN_MS))
    }
  }

  async post(path: string): Promise<{ status: number; json: Record<string, unknown> }> {
    const response = await fetch(`${await this.adminUrl()}${path}`, { method: 'POST' })
    return { status: response.status, json: (await response.json()) as Record<string, unknown> }
  }

  /** A connection to the first listener that has answered once; the answer names worker and tenants. */
  async client(): Promise<FakeClient> {
    const { bound } = await this.log.first('ready')
    const [host = '', port] = (bound as BoundAddress[])[0]?.address.split(':') ?? []
    const socket = connect(Number(port), host)
    const client = new FakeClient(socket)
    await client.ask('hello')
    return client
  }
}

export class FakeClient {
  readonly socket: Socket
  pid = 0
  tenants = ''
  readonly closed: Promise<void>

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    this.closed = new Promise(resolve => socket.once('close', () => resolve()))
  }

  async ask(command: string): Promise<void> {
    const answer = new Promise<string>((resolve, reject) => {
      this.socket.once('data', data => resolve(data.toString()))
      this.socket.once('error', reject)
    })
    this.socket.write(`${command}\n`)
    const [pid, tenants = ''] = (await answer).trim().split(' ')
    this.pid = Number(pid)
    this.tenants = tenants
  }
}

/** Not tap's own folder of the test, which the mixer of the same test uses. */
function newFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'amt-primary-'))
  mkdirSync(join(folder, 'tenants'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function minimal(mixerUrl: string): Record<string, unknown> {
  return {
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }],
    tenants: [tenantEntry('acme')],
    tenantSources: [{ directory: 'tenants' }],
    mixer: { url: mixerUrl, token: TOKEN, journal: 'journal' },
    admin: { address: '127.0.0.1:0' },
    // Fake workers speak when they are asked.
    timeouts: { drain: '2s', worker: 'off' },
  }
}

export function tenantEntry(id: string): Record<string, unknown> {
  return { id, deployment: { endpoints: ['http://127.0.0.1:9'] } }
}
