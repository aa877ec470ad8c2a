/**
 * A proxy for HTTP/2 that is as simple as can be, believes what a call says of its tenant, and leaks where it is told to: what
 * the visits of clients and the deployments have to find.
 */
import { once } from 'node:events'
import net from 'node:net'
import { problem } from '../../../src/core/errors.ts'
import { FramePeer } from '../http2/frame-peer.ts'
import type { Fields, FrameStream } from '../http2/frame-stream.ts'
import type { Place } from './client-connection.ts'
import type { TenantFixture } from './tenants.ts'

export const LEAKS = [
  'a call goes to the deployment of another tenant',
  'an answer gets the data of another',
  'a call gets the data of another',
  'an octet of the last answer comes before the next one',
  'an answer gets the trailers of another',
  'an answer comes twice',
] as const
export type Leak = (typeof LEAKS)[number]

/** So many chances for a leak pass by. */
const PATIENCE = 40
const STRIPPED = /^(x-api-key|authorization|x-amt-|x-forwarded-)/

export class FakeRelay {
  readonly #leak: Leak | undefined
  readonly #tenants: readonly TenantFixture[]
  readonly #deployments: readonly string[]
  readonly #upstream = new Map<TenantFixture, Promise<FramePeer>>()
  readonly #peers = new Set<FramePeer>()
  readonly #server: net.Server
  #chances = 0
  #lastData: Buffer | undefined
  #lastTrailers: Fields | undefined

  /** `deployments` are URLs, of each tenant one. */
  constructor(
    tenants: readonly TenantFixture[],
    deployments: readonly string[],
    leak: Leak | undefined,
  ) {
    this.#tenants = tenants
    this.#deployments = deployments
    this.#leak = leak
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, socket => {
      const peer = new FramePeer(socket, 'server')
      this.#peers.add(peer)
      peer.onStream = stream => {
        // Without its deployment there is no answer.
        this.#serve(stream).catch(() => stream.reset())
      }
      socket.on('end', () => socket.end())
    })
  }

  async listen(): Promise<Place> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const { port } = this.#server.address() as net.AddressInfo
    return { host: '127.0.0.1', port, tls: undefined }
  }

  async close(): Promise<void> {
    for (const peer of this.#peers) peer.abort('end')
    await new Promise(resolve => this.#server.close(resolve))
  }

  /** Whether this is the time to leak in that way. */
  #leaks(leak: Leak): boolean {
    return this.#leak === leak && ++this.#chances > PATIENCE
  }

  async #serve(down: FrameStream): Promise<void> {
    const fields = down.sections[0] ?? []
    const marker = fields.find(([name]) => name === 'x-marker')?.[1]
    const own = this.#tenants.findIndex(tenant => tenant.marker === marker)
    const other = (own + 1) % this.#tenants.length
    const tenant = this.#tenants[
      this.#leaks('a call goes to the deployment of another tenant') ? other : own
    ] as TenantFixture
    const early: Buffer[] = []
    down.onData = bytes => void early.push(bytes)
    const peer = await this.#peerOf(tenant)
    if (down.over && !down.remoteEnded) return
    const up = peer.request([
      ...fields.filter(([name]) => !STRIPPED.test(name)),
      ['x-amt-tenant', this.#tenants[own]?.id ?? ''],
    ])
    this.#pass(early, down, up)
    this.#passBack(up, down)
  }

  #pass(early: readonly Buffer[], down: FrameStream, up: FrameStream): void {
    const take = (bytes: Buffer): void => {
      const leaked = this.#leaks('a call gets the data of another') ? this.#lastData : undefined
      this.#lastData = bytes
      up.write(leaked ?? bytes)
    }
    for (const bytes of early) take(bytes)
    down.onData = take
    void down
      .until(() => down.remoteEnded || down.over)
      .then(() => {
        if (down.remoteEnded) up.end(down.trailers ?? 'flag')
        else up.reset(down.resetByPeer)
      })
    down.onOver = () => up.reset(down.resetByPeer)
  }

  #passBack(up: FrameStream, down: FrameStream): void {
    up.onSection = fields => {
      if (fields[0]?.[0] !== ':status') return
      if (down.localEnded) return
      if (this.#leaks('an octet of the last answer comes before the next one'))
        early = this.#lastData?.subarray(-1)
      down.section(fields)
    }
    let early: Buffer | undefined
    up.onData = bytes => {
      const leaked = this.#leaks('an answer gets the data of another') ? this.#lastData : undefined
      if (early !== undefined) down.write(early)
      early = undefined
      this.#lastData = bytes
      down.write(leaked ?? bytes)
      if (this.#leaks('an answer comes twice')) down.write(bytes)
    }
    void up.until(() => up.remoteEnded || up.over).then(() => this.#end(up, down))
  }

  #end(up: FrameStream, down: FrameStream): void {
    if (up.remoteEnded) {
      const { trailers } = up
      const leaked =
        trailers !== undefined && this.#leaks('an answer gets the trailers of another')
          ? this.#lastTrailers
          : undefined
      this.#lastTrailers = trailers ?? this.#lastTrailers
      down.end(leaked ?? trailers ?? 'flag')
    } else if (up.status === 0 && !down.localEnded) {
      down.section([
        [':status', '502'],
        ['content-type', 'application/problem+json'],
      ])
      down.write(Buffer.from(problem('upstream_reset')))
      down.end()
    } else down.reset(up.resetByPeer)
  }

  #peerOf(tenant: TenantFixture): Promise<FramePeer> {
    let peer = this.#upstream.get(tenant)
    if (peer === undefined) {
      const { hostname, port } = new URL(this.#deployments[this.#tenants.indexOf(tenant)] ?? '')
      peer = FramePeer.connect({ host: hostname, port: Number(port) })
      this.#upstream.set(tenant, peer)
      // Whoever asked for it hears that it cannot be had.
      void peer.then(
        opened => this.#peers.add(opened),
        () => {},
      )
    }
    return peer
  }
}
