/** Calls under load on the streams of one connection, several at once, with the count of their frames. */
import type { TenantFixture } from '../cross-tenant/tenants.ts'
import { FramePeer } from '../http2/frame-peer.ts'
import type { Fields, FrameStream } from '../http2/frame-stream.ts'
import type { SeededRandom } from '../seeded-random.ts'
import { type Count, type Counts, keyOf } from './counts.ts'
import type { LoadSocket } from './load-socket.ts'

const MAX_CALLS = 60
const MAX_AT_ONCE = 10
const MAX_BODY_BYTES = 30_000
const MAX_DOWNLOAD_BYTES = 300_000
const FILLER = Buffer.alloc(MAX_BODY_BYTES, 'u')

export type StreamKind = 'streams' | 'stream-download'

export interface StreamLoad {
  readonly kind: StreamKind
  readonly tenant: TenantFixture
  readonly random: SeededRandom
  readonly listener: string
  readonly counts: Counts
  readonly stopping: () => boolean
}

/** Uses a connection that nobody has used until its calls are done, or it is over. */
export async function callByStreams(socket: LoadSocket, load: StreamLoad): Promise<void> {
  const { random, stopping } = load
  // Windows are asked for only where more is to come: then each of them is somebody's.
  const peer = new FramePeer(socket.socket, 'client', { granting: 'needed' })
  let left = random.between(1, MAX_CALLS)
  const one = async (): Promise<void> => {
    while (left-- > 0 && !stopping() && !peer.over && peer.goneAway === undefined)
      await call(peer, load)
  }
  await Promise.all(Array.from({ length: random.between(1, MAX_AT_ONCE) }, one))
}

async function call(peer: FramePeer, load: StreamLoad): Promise<void> {
  const { kind, tenant, random, listener, counts } = load
  const count = counts.at(keyOf(tenant.id, kind, listener))
  const size = random.below(kind === 'streams' ? MAX_BODY_BYTES / 10 : MAX_DOWNLOAD_BYTES)
  const body = random.chance(0.5) ? FILLER.subarray(0, random.below(MAX_BODY_BYTES)) : undefined
  const head: Fields = [
    [':method', body === undefined ? 'GET' : 'POST'],
    [':scheme', listener === 'tls' ? 'https' : 'http'],
    [':authority', 'example.com'],
    [':path', `/${kind}/${listener}/${size}`],
    ['x-api-key', tenant.apiKey],
  ]
  const stream = peer.request(head, { end: body === undefined })
  if (body !== undefined) {
    stream.write(body)
    stream.end()
  }
  await stream.until(() => stream.over || peer.ignores(stream))
  peer.streams.delete(stream.id)
  take(stream, count, counts)
}

/** Every frame of it that was given to the socket, and came whole. */
function take(stream: FrameStream, count: Count, counts: Counts): void {
  count.sent += stream.sent
  if (stream.status === 0) return
  if (stream.header('x-deployment') === undefined) {
    counts.refuse(stream.status)
    return
  }
  count.got += stream.received
  if (!stream.remoteEnded || stream.resetByPeer !== undefined) return
  count.received++
  count.answered += stream.sent
}
