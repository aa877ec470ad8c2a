/** A call as a client writes it on a stream of HTTP/2: the same plan as over HTTP/1.1, in frames. */
import type { FramePeer } from '../http2/frame-peer.ts'
import type { Fields, FrameStream } from '../http2/frame-stream.ts'
import type { SeededRandom } from '../seeded-random.ts'
import { type CallPlan, trailerOf } from './call-plan.ts'
import { MarkedBytes } from './marked-bytes.ts'
import type { Proof, Way } from './places.ts'

/** Smaller ones are an attack, where they are many. */
const LEAST_FRAME = 256

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
  // Where nothing says how long it is, an empty body is one still: its end is in a frame of its own.
  const empty = body.framing === 'length' && body.size === 0 && part === 1
  const bodiless = body.framing === 'none' || empty
  const stream = peer.request(headOf(plan, way, proof), {
    end: bodiless,
    fragment: random.chance(0.05) ? random.between(200, 400) : 16_000,
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
  const frame = Math.max(LEAST_FRAME, body.chunk)
  const shape = { frame, padding: random.chance(0.05) ? random.below(256) : 0 }
  const pieces = random.chance(0.2) ? random.between(2, 5) : 1
  // Where its length says that the body is whole, its call may be over before a frame that says it once more.
  const how = body.framing === 'length' ? 'flag' : random.pick(['flag', 'frame'] as const)
  const ending = plan.trailers ? [trailerOf(plan)] : how
  for (let at = 0, piece = pieces; piece > 0 && !stream.over; piece--) {
    // Something is left for the last one, which says that it is.
    const end = piece === 1 ? all.length : at + random.below(all.length - at)
    stream.write(all.subarray(at, end), shape, piece === 1 && part === 1 ? ending : 'no')
    at = end
    if (piece > 1) await new Promise(resolve => setImmediate(resolve))
  }
}
