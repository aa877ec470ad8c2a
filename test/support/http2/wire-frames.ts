/** Frames as records: what a test takes apart, changes and puts together again. Nothing here knows what is valid. */
import { frame } from './frames.ts'

const HEADER_OCTETS = 9
const STREAM_MASK = 0x7fffffff

export interface WireFrame {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

export function frameBytes({ type, flags, streamId, payload }: WireFrame): Buffer {
  return frame(type, streamId, payload, flags)
}

export function framesBytes(frames: readonly WireFrame[]): Buffer {
  return Buffer.concat(frames.map(frameBytes))
}

/** The whole frames at the beginning of `bytes`, and how many octets they take. */
export function framesOf(bytes: Buffer): { frames: WireFrame[]; end: number } {
  const frames: WireFrame[] = []
  let at = 0
  while (at + HEADER_OCTETS <= bytes.length) {
    const end = at + HEADER_OCTETS + bytes.readUIntBE(at, 3)
    if (end > bytes.length) break
    frames.push({
      type: bytes[at + 3] as number,
      flags: bytes[at + 4] as number,
      streamId: bytes.readUInt32BE(at + 5) & STREAM_MASK,
      payload: bytes.subarray(at + HEADER_OCTETS, end),
    })
    at = end
  }
  return { frames, end: at }
}
