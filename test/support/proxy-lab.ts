/**
 * A test with a proxy in the middle: what it opens is closed at its end, and then nothing may be left open in the proxy.
 */
import { createHash } from 'node:crypto'
import { type Test, test } from 'tap'
import { formatApiKey } from '../../src/core/api-key.ts'
import {
  type DeploymentOptions,
  type ManualDeployment,
  manualDeployment,
} from './manual-deployment.ts'
import { connectPeer, connectTlsPeer, type Peer } from './peer.ts'
import { type RunningProxy, startProxy } from './start-proxy.ts'

const PATIENCE_MS = 5_000

export class ProxyLab {
  readonly #proxies: RunningProxy[] = []
  readonly #deployments: ManualDeployment[] = []
  readonly #peers: Peer[] = []
  readonly #closers: (() => Promise<void>)[] = []

  /** Starts a proxy with one shared listener `public` unless `input` says otherwise. */
  async proxy(
    input: Record<string, unknown>,
    deps: Parameters<typeof startProxy>[1] = {},
    tls: Parameters<typeof startProxy>[2] = {},
  ): Promise<RunningProxy> {
    const listeners = [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }]
    const proxy = await startProxy({ listeners, ...input }, deps, tls)
    this.#proxies.push(proxy)
    return proxy
  }

  /** Starts a proxy with the one tenant `acme` at host `acme.test` in front of `deployment`. */
  forOne(deployment: ManualDeployment, input: Record<string, unknown> = {}): Promise<RunningProxy> {
    return this.proxy({ tenants: [tenant('acme', deployment)], ...input })
  }

  async deployment(options: DeploymentOptions = {}): Promise<ManualDeployment> {
    const deployment = await manualDeployment(options)
    this.#deployments.push(deployment)
    return deployment
  }

  /** A client of the listener `public`, or of another one. */
  async client(proxy: RunningProxy, listener = 'public', host = '127.0.0.1'): Promise<Peer> {
    return this.own(await connectPeer(proxy.port(listener), host))
  }

  /** The same with an address of its own. */
  async clientFrom(proxy: RunningProxy, from: string, listener = 'public'): Promise<Peer> {
    return this.own(await connectPeer(proxy.port(listener), '127.0.0.1', from))
  }

  async clientAt(port: number, host: string): Promise<Peer> {
    return this.own(await connectPeer(port, host))
  }

  async tlsClient(
    proxy: RunningProxy,
    options: Parameters<typeof connectTlsPeer>[1],
    listener = 'public',
  ): Promise<Peer> {
    return this.own(await connectTlsPeer(proxy.port(listener), options))
  }

  /** Closes `peer` at the end of the test. */
  own(peer: Peer): Peer {
    this.#peers.push(peer)
    return peer
  }

  /** Closes a client that is no peer at the end of the test. */
  closing(close: () => Promise<void>): void {
    this.#closers.push(close)
  }

  /** Closes the clients, sees that nothing is left of them in the proxies, and closes the rest. */
  async close(t: Test): Promise<void> {
    for (const peer of this.#peers) peer.reset()
    for (const close of this.#closers) await close()
    for (const { worker } of this.#proxies) {
      await eventually(() => worker.openConnections === 0)
      t.equal(worker.openConnections, 0, 'the proxy keeps no connection')
      t.equal(worker.bufferedBytes, 0, 'and counts nothing as kept')
    }
    for (const proxy of this.#proxies) await proxy.close()
    for (const deployment of this.#deployments) {
      // The end of a connection shows only where all before it was read.
      for (const peer of deployment.peers) peer.socket.resume()
      await eventually(() => deployment.peers.every(peer => peer.closed || peer.ended))
      t.ok(
        deployment.peers.every(peer => peer.closed || peer.ended),
        'the proxy keeps no connection to a deployment',
      )
      await deployment.close()
    }
  }
}

/** A test with a lab of its own. */
export async function proxyTest(
  name: string,
  body: (t: Test, lab: ProxyLab) => Promise<void>,
): Promise<void> {
  await test(name, async t => {
    const lab = new ProxyLab()
    try {
      await body(t, lab)
    } finally {
      await lab.close(t)
    }
  })
}

/** Asks again each turn until `holds`, for a while: for what shows no event. Whether it did is for the test to say. */
export async function eventually(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!holds() && performance.now() < deadline)
    await new Promise(resolve => setTimeout(resolve, 5))
}

/** Tenant `id` with the host `id.test` and the key `keyOf(id)`; `more` comes on top. */
export function tenant(
  id: string,
  deployment: Pick<ManualDeployment, 'port'>,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    id,
    hosts: [`${id}.test`],
    credentials: [{ apiKey: `sha256:${createHash('sha256').update(keyOf(id)).digest('hex')}` }],
    deployment: { endpoints: [`http://127.0.0.1:${deployment.port}`] },
    ...more,
  }
}

/** Always the same key for the same tenant. */
export function keyOf(id: string): string {
  return formatApiKey(id, createHash('sha256').update(id).digest())
}

/** `GET target` for `acme.test`; `lines` end in CRLF each. */
export function get(target = '/', lines = ''): string {
  return `GET ${target} HTTP/1.1\r\nhost: acme.test\r\n${lines}\r\n`
}

export function post(body: string, lines = `content-length: ${body.length}\r\n`): string {
  return `POST / HTTP/1.1\r\nhost: acme.test\r\n${lines}\r\n${body}`
}

export function ok(body = 'ok', lines = ''): string {
  return `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n${lines}\r\n${body}`
}

/** The values of a field in a head, in order. */
export function fieldsOf(head: string, name: string): string[] {
  return head
    .split('\r\n')
    .slice(1)
    .filter(line => line.toLowerCase().startsWith(`${name}:`))
    .map(line => line.slice(name.length + 1).trim())
}

/** A whole answer with a Content-Length: status, head and body. */
export async function readAnswer(
  peer: Peer,
): Promise<{ status: number; head: string; body: string }> {
  const head = await peer.readHead()
  const length = Number(fieldsOf(head, 'content-length')[0] ?? 0)
  return { status: Number(head.slice(9, 12)), head, body: await peer.readBytes(length) }
}

/** The error code in a problem answer. */
export function codeOf(body: string): string {
  return /about:amt\/([a-z0-9_]+)/.exec(body)?.[1] ?? ''
}
