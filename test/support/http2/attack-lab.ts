/**
 * One proxy for many attacks, one after the other: a tenant whose clients or deployment attack, and a bystander. What an
 * attack costs is measured from its first byte until the proxy has given up its connection.
 */
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { AttackPeer } from './attack-peer.ts'
import { type AttackedFigures, AttackedProxy } from './attacked-proxy.ts'
import { type AttackerOptions, connectAttacker } from './attacker.ts'
import { Bystander } from './bystander.ts'
import { headers, type Pair, requestPairs } from './raw-fields.ts'

export const VICTIM = 'victim.test'
const BYSTANDER = 'bystander.test'
const BYSTANDER_BODY = 'nothing happened'
const MIB = 1024 * 1024
/** Of CPU, for which nobody else is served; it is a tenth of it but where a read brings two megabytes of one flood. */
const WORST_STALL_MS = 500
/** What an engine that has done nothing bad may keep, or take on its way, of young objects and compiled code. */
const HELD_NOISE = 8 * MIB
const PEAK_NOISE = 96 * MIB

export interface AttackCost {
  /** CPU of the worker, in milliseconds; nearly all floods are over within a tenth of it. */
  readonly cpuMs?: number
  /** Memory that is left behind, and the most that there was, each beyond noise. */
  readonly heldMiB?: number
  readonly peakMiB?: number
}

export interface AttackOutcome {
  /** How often each reason was counted during the attack. */
  readonly rejected: Readonly<Record<string, number>>
  readonly cpuMs: number
}

export interface AttackLabOptions {
  readonly config?: Record<string, unknown>
  /** Of the victim; by default one of HTTP/1.1, see `serveVictim`. */
  readonly deployment?: Record<string, unknown>
}

export class AttackLab {
  readonly proxy: AttackedProxy
  /** Requests that have reached the victim's deployment. */
  get reached(): number {
    return this.#reached.length
  }
  readonly #reached: readonly IncomingHttpHeaders[]

  private constructor(proxy: AttackedProxy, reached: readonly IncomingHttpHeaders[]) {
    this.proxy = proxy
    this.#reached = reached
  }

  /** What the last of them said about other versions of HTTP. */
  get lastFields(): Pick<IncomingHttpHeaders, 'upgrade' | 'http2-settings'> {
    const last = this.#reached.at(-1)
    return { upgrade: last?.upgrade, 'http2-settings': last?.['http2-settings'] }
  }

  static async start(
    t: Test,
    { config = {}, deployment }: AttackLabOptions = {},
  ): Promise<AttackLab> {
    const reached: IncomingHttpHeaders[] = []
    const victim = await startDeployment(t, (request, response) => {
      reached.push(request.headers)
      serveVictim(request, response)
    })
    const bystander = await startDeployment(t, (_, response) => response.end(BYSTANDER_BODY))
    const proxy = await AttackedProxy.start(t, {
      // On a busy machine the first bytes may come late, and would be no HTTP with `auto`.
      listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }],
      tenants: [
        { id: 'victim', hosts: [VICTIM], deployment: deployment ?? { endpoints: [victim] } },
        { id: 'bystander', hosts: [BYSTANDER], deployment: { endpoints: [bystander] } },
      ],
      ...config,
    })
    return new AttackLab(proxy, reached)
  }

  attacker(t: Test, options: Omit<AttackerOptions, 'port'> = {}): Promise<AttackPeer> {
    return connectAttacker(t, { port: this.proxy.port(), ...options })
  }

  /** A call over HTTP/2 on a new connection, for whoever wants to know whether the victim is served. */
  async call(t: Test, path = '/'): Promise<number> {
    const client = await this.attacker(t)
    client.send(headers(1, requestPairs(VICTIM, { path })))
    const { status } = await client.answered(1)
    client.destroy()
    return status
  }

  /** Runs an attack and sees that it cost no more than it may, that nothing of it is left, and that the bystander noticed nothing. */
  async measure(
    t: Test,
    attack: () => Promise<void>,
    { cpuMs = 750, heldMiB = 0, peakMiB = 0 }: AttackCost = {},
  ): Promise<AttackOutcome> {
    const bystander = new Bystander(this.proxy.port(), BYSTANDER, BYSTANDER_BODY)
    const before = await this.proxy.figures()
    let after: AttackedFigures
    try {
      await attack()
      after = await this.proxy.figures()
    } finally {
      await bystander.end()
    }
    t.same(bystander.failures, [], 'the bystander is served')
    t.ok(bystander.calls > 0, `the bystander called ${bystander.calls} times`)
    const cost = {
      cpuMs: after.cpuMs - before.cpuAfterMs,
      held: after.heldBytes - before.heldBytes,
      // The highest mark of a process never falls: below that of former attacks nothing can be said, and need not be.
      peak: after.peakBytes === before.peakBytes ? 0 : after.peakBytes - before.residentBytes,
    }
    const { stallMs } = after
    t.ok(stallMs <= WORST_STALL_MS, `nobody was served for ${stallMs.toFixed(0)} ms of CPU`)
    t.comment(`the longest call of the bystander took ${bystander.worstMs.toFixed(0)} ms`)
    t.comment(
      `CPU ${cost.cpuMs.toFixed(0)} ms, left ${(cost.held / MIB).toFixed(1)} MiB, peak ${(cost.peak / MIB).toFixed(1)} MiB`,
    )
    t.ok(cost.cpuMs <= cpuMs, `${cost.cpuMs.toFixed(0)} ms of CPU`)
    t.ok(cost.held <= heldMiB * MIB + HELD_NOISE, `${(cost.held / MIB).toFixed(1)} MiB are left`)
    t.ok(cost.peak <= peakMiB * MIB + PEAK_NOISE, `${(cost.peak / MIB).toFixed(1)} MiB at most`)
    return { rejected: difference(before.rejected, after.rejected), cpuMs: cost.cpuMs }
  }
}

export function request(streamId: number, path = '/', more: readonly Pair[] = []): Buffer {
  return headers(streamId, requestPairs(VICTIM, { path }, more))
}

/** A request whose body is still to come. */
export function upload(streamId: number, more: readonly Pair[] = []): Buffer {
  const fields = requestPairs(VICTIM, { method: 'POST', path: '/upload' }, more)
  return headers(streamId, fields, { endStream: false })
}

function difference(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after)
      .map(([reason, count]) => [reason, count - (before[reason] ?? 0)] as const)
      .filter(([, count]) => count > 0),
  )
}

const LARGE_PIECE = Buffer.alloc(64 * 1024, 'x')

/** `/never` has no answer, `/unread` not even a reader, `/large` has no end, `/upload` is answered behind its end; all else at once. */
function serveVictim(request: IncomingMessage, response: ServerResponse): void {
  response.on('error', () => {})
  if (request.url === '/unread') return
  request.resume()
  if (request.url === '/never') return
  if (request.url === '/upload') {
    request.on('end', () => response.end('served'))
    return
  }
  if (request.url !== '/large') {
    response.end('served')
    return
  }
  const fill = (): void => {
    while (!response.destroyed && response.write(LARGE_PIECE));
  }
  response.on('drain', fill)
  fill()
}

async function startDeployment(
  t: Test,
  serve: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(serve)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
