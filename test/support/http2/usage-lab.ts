/**
 * `amt proxy` and `amt mixer` with a tenant and a deployment for each of many small stories over HTTP/2, so that the ledger
 * says for each of them by itself what it was billed.
 */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import tls from 'node:tls'
import type { Test } from 'tap'
import { createAuthority, issueServerCertificate } from '../../../src/runtime/certificates/issue.ts'
import { makeTenants, type TenantFixture, tenantConfig } from '../cross-tenant/tenants.ts'
import { fullBacklog } from '../full-backlog.ts'
import {
  type LedgerTotals,
  type RunningAmt,
  readUntil,
  readUsage,
  startAmt,
} from '../running-amt.ts'
import { SeededRandom } from '../seeded-random.ts'
import { FramePeer, type FramePeerOptions } from './frame-peer.ts'
import type { Fields, FrameStream } from './frame-stream.ts'
import {
  type HeldDeployment,
  heldDeployment,
  type Secret,
  type Upstream,
} from './held-deployment.ts'

export type Downstream = 'cleartext' | 'tls'

/** What a story is told with. */
export interface Actors {
  readonly upstream: Upstream
  readonly tenant: TenantFixture
  readonly deployment: HeldDeployment
  readonly connect: (options?: FramePeerOptions) => Promise<FramePeer>
  /** A socket on which nothing has been said yet. */
  readonly socket: () => Promise<net.Socket>
  /** The head of a request of this tenant, by its key or, never seen before, its token. */
  readonly head: (method: string, more?: Fields, proof?: 'key' | 'token') => Fields
}

export type Billed = Pick<LedgerTotals, 'calls' | 'ingress' | 'egress'>

export interface Story {
  readonly name: string
  /** By default a deployment that is there. */
  readonly deployment?: 'never accepts' | 'refuses'
  /** Only where the deployment speaks HTTP/2. */
  readonly http2Only?: boolean
  /** Plays it to its end, and says what it has to cost. */
  play(t: Test, actors: Actors): Promise<Billed>
}

export const NOTHING: Billed = { calls: 0, ingress: 0, egress: 0 }

export interface Told {
  readonly name: string
  readonly downstream: Downstream
  readonly upstream: Upstream
  readonly story: Story
}

export class UsageLab {
  readonly amt: RunningAmt
  readonly #ca: string
  readonly #cast = new Map<Told, { tenant: TenantFixture; deployment: HeldDeployment }>()

  private constructor(amt: RunningAmt, ca: string) {
    this.amt = amt
    this.#ca = ca
  }

  static async start(t: Test, told: readonly Told[]): Promise<UsageLab> {
    const folder = t.testdir({})
    const fixtures = await makeTenants(new SeededRandom(1), told.length, folder)
    const authority = await createAuthority('deployments', Date.now())
    const names = { names: [], addresses: ['127.0.0.1'] }
    const secret = await issueServerCertificate(authority, names, Date.now())
    const ca = join(folder, 'deployments.crt')
    await writeFile(ca, authority.cert)
    const deployments = await Promise.all(told.map(async each => deploymentOf(t, each, secret)))
    const amt = await startAmt(t, folder, {
      listeners: [
        { name: 'cleartext', mode: 'shared', address: '127.0.0.1:0' },
        { name: 'tls', mode: 'shared', address: '127.0.0.1:0', tls: fixtures.listenerTls },
      ],
      authentication: fixtures.authentication,
      // A place of concurrency that is not given back is missed by the next call.
      tenants: fixtures.tenants.map((tenant, index) => ({
        ...tenantConfig(tenant, []),
        deployment: { endpoints: [deployments[index]?.url], tls: { ca } },
        limits: { concurrency: 1 },
      })),
      workers: 1,
    })
    const lab = new UsageLab(amt, fixtures.ca)
    for (const [index, each] of told.entries()) {
      const tenant = fixtures.tenants[index] as TenantFixture
      lab.#cast.set(each, { tenant, deployment: deployments[index] as HeldDeployment })
    }
    return lab
  }

  actors(t: Test, told: Told): Actors {
    const { tenant, deployment } = this.#cast.get(told) as {
      tenant: TenantFixture
      deployment: HeldDeployment
    }
    return {
      upstream: told.upstream,
      tenant,
      deployment,
      connect: async options => this.connect(t, told.downstream, options),
      socket: async () => this.#socket(t, told.downstream),
      head: (method, more = [], proof = 'key') => [
        ...headOf(method, told.downstream),
        proof === 'key'
          ? ['x-api-key', tenant.apiKey]
          : ['authorization', `Bearer ${tenant.tokens[0]}`],
        ...more,
      ],
    }
  }

  async connect(t: Test, downstream: Downstream, options?: FramePeerOptions): Promise<FramePeer> {
    const tls = downstream === 'tls' ? { tls: { ca: this.#ca } } : {}
    const client = await FramePeer.connect({ ...this.amt.address(downstream), ...tls }, options)
    t.teardown(() => client.abort('end'))
    return client
  }

  async #socket(t: Test, downstream: Downstream): Promise<net.Socket> {
    const options = { ...this.amt.address(downstream), noDelay: true, allowHalfOpen: true }
    const secure = downstream === 'tls'
    const socket = secure ? tls.connect({ ...options, ca: this.#ca }) : net.connect(options)
    t.teardown(() => socket.destroy())
    await once(socket, secure ? 'secureConnect' : 'connect')
    return socket
  }

  /** What `/v1/usage` says of each, as soon as it is what it has to be. */
  async billed(expected: ReadonlyMap<Told, Billed>): Promise<Map<Told, Billed>> {
    const read = async (): Promise<Map<Told, Billed>> => {
      const all = await this.#read()
      return new Map(
        [...expected.keys()].map(told => [
          told,
          all.get(this.#cast.get(told)?.tenant.id ?? '') ?? NOTHING,
        ]),
      )
    }
    return readUntil(read, billed =>
      [...expected].every(
        ([told, wanted]) => JSON.stringify(billed.get(told)) === JSON.stringify(wanted),
      ),
    )
  }

  /** By tenant, without the connections that calls came on. */
  async #read(): Promise<Map<string, Billed>> {
    const all = new Map<string, Billed>()
    for (const window of await readUsage(this.amt.mixerUrl, ['tenant', 'operation'])) {
      const { tenant = '', operation, calls, ingress, egress } = window
      if (operation === 'connection') continue
      const former = all.get(tenant) ?? NOTHING
      all.set(tenant, {
        calls: former.calls + Number(calls),
        ingress: former.ingress + Number(ingress),
        egress: former.egress + Number(egress),
      })
    }
    return all
  }
}

function headOf(method: string, downstream: Downstream): Fields {
  return [
    [':method', method],
    [':scheme', downstream === 'tls' ? 'https' : 'http'],
    [':path', '/x'],
    [':authority', 'example.com'],
  ]
}

async function deploymentOf(
  t: Test,
  { upstream, story }: Told,
  secret: Secret,
): Promise<HeldDeployment> {
  if (story.deployment === undefined) return heldDeployment(t, upstream, secret)
  const absent = story.deployment === 'refuses' ? await nobody() : await fullBacklog()
  t.teardown(async () => absent.close())
  return {
    url: `${upstream}://127.0.0.1:${absent.port}`,
    calls: [],
    next: () => Promise.reject(new Error('there is no deployment')),
  }
}

/** A port of the test's own at which nobody listens. */
async function nobody(): Promise<{ port: number; close: () => Promise<void> }> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  await new Promise(resolve => server.close(resolve))
  return { port, close: async () => {} }
}

/** What a stream has to cost that belongs to a call: all of it, to the octet. */
export function costOf(t: Test, ...streams: readonly FrameStream[]): Billed {
  const sum = { ...NOTHING }
  for (const stream of streams) {
    t.equal(stream.uncertain, 0, 'no frame of ours met the end of the stream')
    sum.calls += 1
    sum.ingress += stream.sent
    sum.egress += stream.received
  }
  return sum
}

export function plus(one: Billed, other: Billed): Billed {
  return {
    calls: one.calls + other.calls,
    ingress: one.ingress + other.ingress,
    egress: one.egress + other.egress,
  }
}
