/** A call as a client writes it on a stream of HTTP/2: the same plan as over HTTP/1.1, in frames. */
import type { FramePeer } from '../http2/frame-peer.ts'
import type { Fields, FrameStream } from '../http2/frame-stream.ts'
import type { SeededRandom } from '../seeded-random.ts'
import { type CallPlan, trailerOf } from './call-plan.ts'
import { MarkedBytes } from './marked-bytes.ts'
import type { Proof, Way } from './places.ts'

const MOST_FRAMES = 2_000

export interface StreamRequest {
  readonly stream: FrameStream
  /** Octets of the frames of the head. */
  readonly headOctets: number
  /** Resolves when all that should be written is given to the stream; it waits for windows by itself. */
  readonly written: Promise<void>
}

/** Begins `plan` on `peer`. Of the body at most `part` (0 … 1) is written, and its end only where that is all. */
export function writeRequest(
  peer: FramePeer,
  plan: CallPlan,
  { way, proof, random, part = 1 }: { way: Way; proof: Proof; random: SeededRandom; part?: number },
): StreamRequest {
  const { body } = plan
  const bodiless = body.framing === 'none' || (body.size === 0 && !plan.trailers && part === 1)
  const stream = peer.request(headOf(plan, way, proof), {
    end: bodiless,
    fragment: random.chance(0.05) ? random.between(1, 60) : 16_000,
    padding: random.chance(0.05) ? random.below(256) : 0,
    priority: random.chance(0.05),
  })
  const headOctets = stream.sent
  const written = bodiless ? Promise.resolve() : writeBody(stream, plan, { random, part })
  return { stream, headOctets, written }
}

export function headOf(plan: CallPlan, { listener }: Way, { host, credentials }: Proof): Fields {
  const { body, tenant } = plan
  const lines = credentials.split('\r\n').filter(line => line !== '')
  return [
    [':method', plan.method],
    [':scheme', listener === 'tls' ? 'https' : 'http'],
    [':authority', host],
    [':path', `/${plan.operation}/${plan.nonce}`],
    ...lines.map(line => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 2)] as const
    }),
    ['x-marker', tenant.marker],
    ...(body.framing === 'length' ? [['content-length', String(body.size)] as const] : []),
    ...(plan.expectsContinue ? [['expect', '100-continue'] as const] : []),
    ...(plan.answerTrailers ? [['te', 'trailers'] as const] : []),
  ]
}

async function writeBody(
  stream: FrameStream,
  plan: CallPlan,
  { random, part }: { random: SeededRandom; part: number },
): Promise<void> {
  const { body } = plan
  const data = new MarkedBytes(plan.tenant.marker, plan.nonce, 'request').next(body.size)
  const all = data.subarray(0, Math.floor(data.length * part))
  const frame = Math.max(1, body.chunk, Math.ceil(all.length / MOST_FRAMES))
  const shape = { frame, padding: random.chance(0.05) ? random.below(256) : 0 }
  const pieces = random.chance(0.2) ? random.between(2, 5) : 1
  const how = random.pick(['flag', 'frame'] as const)
  for (let at = 0, piece = pieces; piece > 0 && !stream.over; piece--) {
    const end = piece === 1 ? all.length : at + random.below(all.length - at + 1)
    stream.write(all.subarray(at, end), shape)
    at = end
    if (piece > 1) await new Promise(resolve => setImmediate(resolve))
  }
  if (part === 1) stream.end(plan.trailers ? [trailerOf(plan)] : how)
}
