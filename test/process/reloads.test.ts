/**
 * Issue 8, line 2: two hundred reloads under load, by SIGHUP, by `POST /reload` and by a changed file. No call fails, and no
 * connection ends of a tenant that was not touched: kept ones, WebSockets, tunnels and streams of HTTP/2 included.
 */
import { createHash } from 'node:crypto'
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { t as file, type Test, test } from 'tap'
import { type CertificateFiles, TestAuthority } from '../support/certificates.ts'
import { freePorts } from '../support/free-ports.ts'
import { connectPeer, connectTlsPeer } from '../support/peer.ts'
import type { Program } from '../support/program.ts'
import { keyOf } from '../support/proxy-lab.ts'
import { FIT_FOR_TESTS, launchPart, MIXER, readUntil, readyLine } from '../support/running-amt.ts'
import {
  echoDeployment,
  fresh,
  http2Deployment,
  httpDeployment,
  kept,
  longStream,
  type SteadyClient,
  streams,
  tunnel,
  webSocket,
} from '../support/untouched-load.ts'

file.setTimeout(300_000)

const RELOADS = 200
const RELOADED = '"msg":"configuration reloaded"'
const PIPE_ADDRESS = '127.0.4.1'
const KEY = keyOf('changing')

type Settings = Record<string, unknown>

/** A proxy whose configuration is a value here: what is written is not in force by that. */
class Reloaded {
  readonly folder: string
  readonly program: Program
  readonly admin: string
  settings: Settings

  private constructor(folder: string, program: Program, admin: string, settings: Settings) {
    this.folder = folder
    this.program = program
    this.admin = admin
    this.settings = settings
  }

  static async start(t: Test, folder: string, settings: Settings): Promise<Reloaded> {
    const program = await launchPart(t, 'proxy', folder, settings)
    const { admin } = await readyLine(program)
    return new Reloaded(folder, program, `http://${String(admin)}`, settings)
  }

  write(changes: Settings): void {
    this.settings = { ...this.settings, ...changes }
    this.replace('proxy.yaml', JSON.stringify(this.settings))
  }

  replace(name: string, text: string): void {
    writeFileSync(join(this.folder, 'new'), text)
    renameSync(join(this.folder, 'new'), join(this.folder, name))
  }

  /** What `POST /reload` says. */
  async post(): Promise<{ status: number; problems: readonly string[] }> {
    const response = await fetch(`${this.admin}/reload`, { method: 'POST' })
    const { problems = [] } = (await response.json()) as { problems?: readonly string[] }
    return { status: response.status, problems }
  }

  /** Resolves when `begin` has led to one more reload for this cause. */
  async reloadedBy(cause: 'signal' | 'watch', begin: () => void): Promise<void> {
    const before = this.#count(cause)
    begin()
    const count = await readUntil(
      async () => Promise.resolve(this.#count(cause)),
      seen => seen > before,
    )
    if (count === before) throw new Error(`nothing was reloaded by a ${cause}`)
  }

  #count(cause: string): number {
    const { lines } = this.program
    return lines.filter(line => line.includes(RELOADED) && line.includes(`"cause":"${cause}"`))
      .length
  }
}

interface Ports {
  readonly shared: number
  readonly secure: number
  readonly pipes: number
  readonly extra: number
  readonly moved: number
}

interface Deployments {
  readonly http: number
  readonly other: number
  readonly http2: number
  readonly echo: number
}

const digest = (key: string): string => `sha256:${createHash('sha256').update(key).digest('hex')}`

/** The tenant that changes all of the time, and whose calls succeed all of the time. */
function changing(deployments: Deployments, round: number): Settings {
  const endpoints = [[deployments.http], [deployments.http, deployments.other], [deployments.other]]
  return {
    id: 'changing',
    hosts: ['changing.test', `changing-${round}.test`],
    credentials: [{ apiKey: digest(KEY) }, { apiKey: digest(`another ${round}`) }],
    deployment: {
      endpoints: (endpoints[round % 3] ?? []).map(port => `http://127.0.0.1:${port}`),
      maxConnections: 100 + round,
      ...(round % 2 === 0 ? { health: { interval: '1s' } } : {}),
    },
    limits: { concurrency: 100 + round, requests: `${10_000 + round}/s` },
    weight: 1 + (round % 3),
  }
}

function tenants(deployments: Deployments, round: number): Settings[] {
  const at = (id: string, scheme: string, port: number, more: Settings = {}): Settings => ({
    id,
    hosts: [`${id}.test`],
    deployment: { endpoints: [`${scheme}://127.0.0.1:${port}`] },
    ...more,
  })
  return [
    at('steady', 'http', deployments.http),
    at('frames', 'h2c', deployments.http2),
    at('pipes', 'tcp', deployments.echo, { address: PIPE_ADDRESS }),
    changing(deployments, round),
  ]
}

/** For HTTP: connections that have not said a word yet, since others are still being opened, are not taken for tunnels. */
const shared = (name: string, port: number, more: Settings = {}): Settings => ({
  name,
  mode: 'shared',
  protocol: 'http',
  address: `127.0.0.1:${port}`,
  ...more,
})

function listeners(ports: Ports, ...more: Settings[]): Settings[] {
  const certificates = [{ cert: 'server.crt', key: 'server.key' }]
  return [
    shared('public', ports.shared),
    shared('secure', ports.secure, { tls: { certificates } }),
    { name: 'pipes', mode: 'private', port: ports.pipes, protocol: 'tcp' },
    ...more,
  ]
}

type Pair = Pick<CertificateFiles, 'cert' | 'key'>

/** What the proxy is told in turn; each takes one reload, and is in force when it resolves. */
class Changes {
  readonly #t: Test
  readonly #proxy: Reloaded
  readonly #ports: Ports
  readonly #deployments: Deployments
  readonly #pairs: readonly Pair[]

  constructor(
    t: Test,
    proxy: Reloaded,
    about: {
      readonly ports: Ports
      readonly deployments: Deployments
      readonly pairs: readonly Pair[]
    },
  ) {
    this.#t = t
    this.#proxy = proxy
    this.#ports = about.ports
    this.#deployments = about.deployments
    this.#pairs = about.pairs
  }

  /** In their order. */
  get all(): readonly ((round: number) => Promise<void>)[] {
    return [
      round => this.#bySignal({ limits: { connections: 1_000 + round } }),
      round => this.#byPost({ tenants: tenants(this.#deployments, round) }),
      round => this.#guestComes(round),
      () => this.#byPost({ listeners: listeners(this.#ports, shared('extra', this.#ports.extra)) }),
      round => this.#certificates(round),
      () => this.#byPost({ listeners: listeners(this.#ports, shared('extra', this.#ports.moved)) }),
      () => this.#refused(),
      () => this.#guestGoes(),
      round => this.#bySignal({ tenants: tenants(this.#deployments, round + 1) }),
      () => this.#byPost({ listeners: listeners(this.#ports) }),
    ]
  }

  async #bySignal(changes: Settings): Promise<void> {
    this.#proxy.write(changes)
    await this.#proxy.reloadedBy('signal', () =>
      process.kill(this.#proxy.program.pid ?? 0, 'SIGHUP'),
    )
  }

  async #byPost(changes: Settings): Promise<void> {
    this.#proxy.write(changes)
    this.#t.same(await this.#proxy.post(), { status: 200, problems: [] })
  }

  async #guestComes(round: number): Promise<void> {
    const guest = changing(this.#deployments, round)
    const text = JSON.stringify({ ...guest, id: 'guest', hosts: ['guest.test'], credentials: [] })
    await this.#proxy.reloadedBy('watch', () => this.#proxy.replace('tenants.d/guest.yaml', text))
    const peer = await connectPeer(this.#ports.shared)
    const visitor = await kept('a guest', Promise.resolve(peer), 'guest.test')
    await visitor.start().stop()
    this.#t.equal(visitor.fault, undefined, 'a new tenant is served')
    peer.destroy()
  }

  async #guestGoes(): Promise<void> {
    await this.#proxy.reloadedBy('watch', () =>
      rmSync(join(this.#proxy.folder, 'tenants.d', 'guest.yaml')),
    )
  }

  /** By whoever asks first: the files are watched as well. */
  async #certificates(round: number): Promise<void> {
    const pair = this.#pairs[round % this.#pairs.length]
    this.#proxy.replace('server.key', pair?.key ?? '')
    this.#proxy.replace('server.crt', pair?.cert ?? '')
    await this.#byPost({})
  }

  /** Good changes come with a bad one, and none of them is in force. */
  async #refused(): Promise<void> {
    const { settings } = this.#proxy
    this.#proxy.write({
      listeners: listeners(this.#ports),
      tenants: [],
      timeouts: { drain: '9s' },
      nonsense: true,
    })
    const { status, problems } = await this.#proxy.post()
    this.#t.equal(status, 422)
    this.#t.match(problems.join('\n'), /proxy\.yaml:1:\d+: .*nonsense/)
    this.#proxy.settings = settings
    this.#proxy.write({})
    const peer = await connectPeer(this.#ports.moved)
    peer.destroy()
  }
}

await test(`${RELOADS} reloads under load: no failed call, no closed connection`, async t => {
  const ca = await TestAuthority.create(t)
  const pairs = [await ca.server(['steady.test']), await ca.server(['steady.test'])]
  const [first] = pairs
  const folder = t.testdir({
    'server.crt': first?.cert ?? '',
    'server.key': first?.key ?? '',
    'tenants.d': {},
  })
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = await freePorts(5)
  const ports: Ports = { shared: a, secure: b, pipes: c, extra: d, moved: e }
  const deployments: Deployments = {
    http: await httpDeployment(t),
    other: await httpDeployment(t),
    http2: await http2Deployment(t),
    echo: await echoDeployment(t),
  }
  const proxy = await Reloaded.start(t, folder, {
    ...FIT_FOR_TESTS,
    listeners: listeners(ports),
    tenants: tenants(deployments, 0),
    tenantSources: [{ directory: 'tenants.d' }],
    // On a busy machine what is sent again and again is not much.
    minimumRate: { request: 'off', response: 'off' },
    mixer: { ...MIXER, url: 'http://127.0.0.1:9' },
  })
  const secure = { ca: ca.cert, servername: 'steady.test' }
  const { client, steady } = await streams(ports.shared, ['steady.test', 'frames.test'])
  t.teardown(() => client.close())
  const load: readonly SteadyClient[] = [
    await kept('a kept connection', connectPeer(ports.shared), 'steady.test'),
    await kept('another kept connection', connectPeer(ports.shared), 'frames.test'),
    await kept('a kept connection with TLS', connectTlsPeer(ports.secure, secure), 'steady.test'),
    await kept('the tenant that changes', connectPeer(ports.shared), 'changing.test'),
    await kept('its key', connectPeer(ports.shared), 'nobody.test', `x-api-key: ${KEY}\r\n`),
    fresh('new connections', () => connectPeer(ports.shared), 'steady.test'),
    fresh('new handshakes', () => connectTlsPeer(ports.secure, secure), 'steady.test'),
    await webSocket(ports.shared, 'steady.test'),
    await tunnel(ports.pipes, PIPE_ADDRESS),
    longStream(client, 'frames.test'),
    steady,
  ].map(each => each.start())
  const changes = new Changes(t, proxy, { ports, deployments, pairs }).all
  for (let reload = 0; reload < RELOADS && t.passing(); reload += changes.length) {
    const before = load.map(({ done }) => done)
    for (const change of changes) await change(reload)
    // A load that stands still would see nothing.
    const still = load.filter(({ done }, index) => done === before[index])
    if (still.length > 0) t.fail(`stands still: ${still.map(({ name }) => name).join(', ')}`)
  }
  for (const each of load) await each.stop()
  t.same(
    load.flatMap(({ name, fault }) => (fault === undefined ? [] : [`${name}: ${fault}`])),
    [],
  )
  t.comment(load.map(({ name, done }) => `${name}: ${done}`).join(', '))
  const metrics = await (await fetch(`${proxy.admin}/metrics`)).text()
  t.match(metrics, /^amt_config_errors_total 20$/m, 'what was refused is counted')
  t.same(
    proxy.program.lines.filter(
      line => line.includes('"level":"error"') && !/configuration refused|usage cannot/.test(line),
    ),
    [],
  )
})
