/**
 * A proxy and a mixer whose operator is busy: workers are killed, configurations reloaded, certificates renewed, endpoints go and
 * come back, the mixer is started anew. Whatever that is, clients go on.
 */
import { copyFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { runAmt } from '../amt.ts'
import { TestAuthority } from '../certificates.ts'
import { freePorts } from '../free-ports.ts'
import { FIT_FOR_TESTS, MIXER, readUntil, readUsage } from '../running-amt.ts'
import { SeededRandom } from '../seeded-random.ts'
import { clientPortsOf } from './client-ports.ts'
import { ComingAndGoing } from './operations-deployment.ts'
import { LOAD_KINDS, OperationsClient } from './operations-load.ts'
import { type Failure, OperationsLog } from './operations-log.ts'
import { SupervisedAmt } from './supervised-amt.ts'

export const OPERATIONS = {
  'kill a worker': 3,
  reload: 4,
  'refused reload': 1,
  'renew certificates': 2,
  'endpoint goes and comes back': 3,
  'restart the mixer': 1,
} as const
export type Operation = keyof typeof OPERATIONS

const TENANTS = ['acme', 'globex'] as const
const ENDPOINTS = 2
const LEAST_GAP_MS = 300
const MOST_GAP_MS = 2_000
const LONGEST_ABSENCE_MS = 1_500
/** Sequences of random numbers; those of clients and deployments follow. */
const EVENTS = 0
const FIRST_OTHER = 10
const LOOK_MS = 20
const WORKERS = 2

interface Deployment {
  readonly tenant: string
  readonly endpoints: readonly ComingAndGoing[]
}

export class OperationsRun {
  readonly log = new OperationsLog()
  readonly done: Record<string, number> = {}
  readonly #amt: SupervisedAmt
  readonly #folder: string
  readonly #authority: TestAuthority
  readonly #deployments: readonly Deployment[]
  readonly #settings: Record<string, unknown>
  readonly #clients: OperationsClient[]
  readonly #random: SeededRandom
  #version = 0
  /** Of the test, where it has begun to end. */
  #absences: Promise<void>[] = []

  private constructor(parts: {
    amt: SupervisedAmt
    folder: string
    authority: TestAuthority
    deployments: readonly Deployment[]
    settings: Record<string, unknown>
    target: { plain: number; tls: number; ca: string }
    seed: number
  }) {
    const { seed, target, deployments } = parts
    this.#amt = parts.amt
    this.#folder = parts.folder
    this.#authority = parts.authority
    this.#deployments = deployments
    this.#settings = parts.settings
    this.#random = SeededRandom.fork(seed, EVENTS)
    this.#clients = TENANTS.flatMap((tenant, index) =>
      LOAD_KINDS.map((kind, place) => {
        const random = SeededRandom.fork(seed, FIRST_OTHER + index * LOAD_KINDS.length + place)
        return new OperationsClient(tenant, kind, { target, log: this.log, random })
      }),
    )
  }

  static async start(t: Test, seed: number): Promise<OperationsRun> {
    const folder = mkdtempSync(join(tmpdir(), 'amt-operations-'))
    t.teardown(() => {
      if (t.passing()) rmSync(folder, { recursive: true, force: true })
    })
    const authority = await TestAuthority.create(t)
    const [plain, tls, mixerPort, adminPort] = (await freePorts(4)) as [
      number,
      number,
      number,
      number,
    ]
    const deployments = await Promise.all(
      TENANTS.map(async (tenant, index) => ({
        tenant,
        endpoints: await Promise.all(
          Array.from({ length: ENDPOINTS }, async (_, place) =>
            ComingAndGoing.start(
              t,
              SeededRandom.fork(seed, 2 * FIRST_OTHER + index * ENDPOINTS + place),
            ),
          ),
        ),
      })),
    )
    const settings = {
      listeners: [
        { name: 'plain', mode: 'shared', address: `127.0.0.1:${plain}`, protocol: 'http' },
        {
          name: 'tls',
          mode: 'shared',
          address: `127.0.0.1:${tls}`,
          tls: { certificates: [{ cert: 'server.crt', key: 'server.key' }] },
        },
      ],
      // All clients have one address, and new ones come as fast as they can.
      sources: { newConnections: 'off' },
      tenants: deployments.map(({ tenant, endpoints }) => ({
        id: tenant,
        hosts: [`${tenant}.test`],
        deployment: { endpoints: endpoints.map(({ port }) => `http://127.0.0.1:${port}`) },
      })),
      workers: WORKERS,
      admin: { address: `127.0.0.1:${adminPort}` },
    }
    await renewCertificate(authority, folder)
    const outages = SeededRandom.fork(seed, EVENTS + 1)
    const amt = new SupervisedAmt(t, {
      folder,
      mixer: `127.0.0.1:${mixerPort}`,
      mixerOutageMs: () => outages.below(LONGEST_ABSENCE_MS),
      note: line => t.comment(line),
      config: settings,
    })
    t.teardown(() => amt.abandon())
    amt.mixer.start()
    await Promise.all([amt.mixer.ready, amt.proxy.ready])
    const target = { plain, tls, ca: authority.cert }
    return new OperationsRun({ amt, folder, authority, deployments, settings, target, seed })
  }

  get served(): number {
    return this.#deployments
      .flatMap(({ endpoints }) => endpoints)
      .reduce((sum, { served }) => sum + served, 0)
  }

  /** One after the other until `until`, in ms of the monotonic clock; `tell` hears of each. */
  async operate(until: number, tell: (what: string) => void): Promise<void> {
    while (performance.now() < until) {
      // Operators take their time as well.
      await pause(this.#random.between(LEAST_GAP_MS, MOST_GAP_MS))
      const operation = this.#random.weighted(OPERATIONS)
      await this.#do(operation)
      this.done[operation] = (this.done[operation] ?? 0) + 1
      tell(operation)
    }
    await Promise.all(this.#absences)
  }

  async #do(operation: Operation): Promise<void> {
    switch (operation) {
      case 'kill a worker':
        await this.#killWorker()
        return
      case 'reload':
        await this.#reload({})
        return
      case 'refused reload':
        await this.#reload({ workers: -1 }, 422)
        return
      case 'renew certificates':
        await renewCertificate(this.#authority, this.#folder)
        return
      case 'endpoint goes and comes back':
        this.#absences = [this.#sendAway()]
        await Promise.all(this.#absences)
        return
      case 'restart the mixer':
        this.#signal(this.#amt.mixer.pid, this.#random.chance(0.5) ? 'SIGKILL' : 'SIGTERM')
        await this.#amt.mixer.ready
    }
  }

  /** The other one serves meanwhile: who is killed has no connection but its own. */
  async #killWorker(): Promise<void> {
    await until(() => this.#amt.workers.length === WORKERS)
    await this.#ready()
    const victim = this.#random.pick(this.#amt.workers)
    // Nothing comes or goes between the look and the end.
    this.#signal(victim, 'SIGSTOP')
    const ports = clientPortsOf(victim)
    this.log.killed(victim, ports)
    this.#signal(victim, 'SIGKILL')
    await until(() => !this.#amt.workers.includes(victim))
  }

  /** Another tenant, other limits, and at times a third endpoint that leads to one of those that are there. */
  async #reload(more: Record<string, unknown>, expected = 200): Promise<void> {
    this.#version += 1
    const tenants = this.#settings['tenants'] as { id: string }[]
    const spare = {
      id: `spare-${this.#version % 3}`,
      hosts: ['spare.test'],
      deployment: { endpoints: ['http://127.0.0.1:1'] },
    }
    const limits = { requests: `${100_000 + this.#version}/s` }
    const url = this.#amt.mixerUrl
    const listen = url.slice('http://'.length)
    const settings = {
      ...FIT_FOR_TESTS,
      ...this.#settings,
      tenants: [...tenants.map(tenant => ({ ...tenant, limits })), spare],
      mixer: { ...MIXER, segment: '32KiB', listen, url },
      ...more,
    }
    writeAtomically(join(this.#folder, 'proxy.yaml'), JSON.stringify(settings))
    const { admin } = await this.#amt.proxy.ready
    const { status } = await fetch(`http://${String(admin)}/reload`, { method: 'POST' })
    if (status !== expected) throw new Error(`a reload was answered with ${status}`)
  }

  async #sendAway(): Promise<void> {
    const { tenant, endpoints } = this.#random.pick(this.#deployments)
    const endpoint = this.#random.pick(endpoints)
    this.log.departs(tenant)
    endpoint.go()
    await pause(this.#random.below(LONGEST_ABSENCE_MS))
    await endpoint.comeBack()
    // It was found to be away, and is left alone for a second: the other one must not go before it is back.
    await pause(2 * LONGEST_ABSENCE_MS)
  }

  async #ready(): Promise<void> {
    const { admin } = await this.#amt.proxy.ready
    await readUntil(
      async () => (await fetch(`http://${String(admin)}/metrics`)).text(),
      text => text.includes(`amt_workers{state="serving"} ${WORKERS}`),
    )
  }

  #signal(pid: number | undefined, name: NodeJS.Signals): void {
    if (pid !== undefined) process.kill(pid, name)
  }

  /**
   * Ends the load, delivers what is left and says whether the books balance, and how many calls the ledger has that were answered
   * by a deployment: one that went away never saw some of those that were on their way to it.
   */
  async settle(t: Test): Promise<number> {
    for (const client of this.#clients) client.stop()
    await Promise.all(this.#clients.map(async ({ ended }) => ended))
    await this.#amt.mixer.ready
    t.equal(await this.#amt.proxy.stop(), 0, 'the proxy has drained')
    this.#amt.startProxyAgain()
    const { admin } = await this.#amt.proxy.ready
    await readUntil(
      async () => (await fetch(`http://${String(admin)}/metrics`)).text(),
      text => /^amt_journal_bytes_pending 0$/m.test(text),
    )
    const books = ['reconcile', '--config', join(this.#folder, 'proxy.yaml')]
    const { code, stdout, stderr } = await runAmt(books)
    t.equal(code, 0, `the books balance\n${code === 0 ? '' : stdout + stderr}`.trim())
    const usage = await readUsage(this.#amt.mixerUrl, ['tenant', 'operation', 'code'])
    await this.#amt.proxy.stop()
    await this.#amt.mixer.stop()
    return usage
      .filter(({ operation, code }) => operation !== 'connection' && code !== '5xx')
      .reduce((sum, { calls }) => sum + Number(calls), 0)
  }

  /** Writes what helps to find out why, and says where. */
  keep(failures: readonly Failure[]): string {
    const found = failures.map(failure => ({ ...failure, around: this.log.around(failure) }))
    const start = new Date(performance.timeOrigin).toISOString()
    const text = JSON.stringify({ start, failures: found }, undefined, 1)
    writeFileSync(join(this.#folder, 'failures.json'), text)
    const { proxies, mixer } = this.#amt
    for (const [name, parts] of Object.entries({ proxy: proxies, mixer: [mixer] })) {
      const lines = parts.flatMap(({ lives }) => lives).flatMap(({ lines }) => lines)
      writeFileSync(join(this.#folder, `${name}.log`), lines.join('\n'))
    }
    return this.#folder
  }
}

/** By renaming, key first: the proxy waits for what fits together. */
async function renewCertificate(authority: TestAuthority, folder: string): Promise<void> {
  const names = TENANTS.map(tenant => `${tenant}.test`)
  const { certPath, keyPath } = await authority.server(names)
  for (const [from, to] of [
    [keyPath, 'server.key'],
    [certPath, 'server.crt'],
  ] as const) {
    const next = join(folder, `${to}.next`)
    copyFileSync(from, next)
    renameSync(next, join(folder, to))
  }
}

function writeAtomically(path: string, text: string): void {
  writeFileSync(`${path}.next`, text)
  renameSync(`${path}.next`, path)
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await pause(LOOK_MS)
}

async function pause(ms: number): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, ms))
}
