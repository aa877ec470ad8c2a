/** Damage that knows what HTTP/2 is made of: frames, their headers, lengths, streams, flags. The same seed, the same case. */
import { framesBytes, framesOf, type WireFrame } from '../http2/wire-frames.ts'
import type { SeededRandom } from '../seeded-random.ts'

const TYPES = 0x11
const STREAMS = [0, 1, 2, 3, 5, 7, 9, 101, 0x7fffffff]
const FLAGS = [0x1, 0x4, 0x8, 0x20, 0xff]
const NUMBERS = [0, 1, 2, 0x3fff, 0x4000, 0x4001, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff]
const LENGTHS = [0, 1, 3, 4, 5, 6, 8, 9, 0x3fff, 0x4000, 0x4001, 0xffff, 0xffffff]
const PAYLOADS = [0, 1, 4, 5, 6, 8, 12, 255]
const MAX_BYTES = 40_000
const MOST_REPEATS = 40

const OF_FRAMES = {
  drop: 4,
  duplicate: 4,
  swap: 4,
  changeType: 3,
  changeFlags: 5,
  changeStream: 5,
  changeNumber: 4,
  changePadding: 3,
  shorten: 3,
  lengthen: 2,
  splitBlock: 2,
  insert: 3,
  repeat: 2,
  splice: 3,
} as const
const OF_BYTES = {
  flipBit: 5,
  changeLength: 4,
  replaceByte: 3,
  deleteRange: 2,
  truncate: 2,
} as const

/** `frames` with one to five changes, as bytes; `others` are what may be spliced in. */
export function mutateFrames(
  random: SeededRandom,
  frames: readonly WireFrame[],
  others: readonly WireFrame[],
): Buffer {
  const changed = frames.slice()
  for (let left = random.between(0, 3); left > 0 && changed.length > 0; left--)
    FRAME_CHANGES[random.weighted(OF_FRAMES)](random, changed, others)
  let bytes = framesBytes(changed)
  for (let left = random.below(3); left > 0 && bytes.length > 0; left--)
    bytes = BYTE_CHANGES[random.weighted(OF_BYTES)](random, bytes)
  return bytes.subarray(0, MAX_BYTES)
}

type FrameChange = (random: SeededRandom, all: WireFrame[], others: readonly WireFrame[]) => void

/** Replaces a frame by what `by` makes of it. */
function change(random: SeededRandom, all: WireFrame[], by: (of: WireFrame) => Partial<WireFrame>) {
  const at = random.below(all.length)
  const frame = all[at] as WireFrame
  all[at] = { ...frame, ...by(frame) }
}

function anyFrame(random: SeededRandom): WireFrame {
  return {
    type: random.chance(0.9) ? random.below(TYPES) : random.below(256),
    flags: random.pick(FLAGS),
    streamId: random.pick(STREAMS),
    payload: anyPayload(random),
  }
}

function anyPayload(random: SeededRandom): Buffer {
  return Buffer.from(Array.from({ length: random.pick(PAYLOADS) }, () => random.below(256)))
}

const FRAME_CHANGES: Record<keyof typeof OF_FRAMES, FrameChange> = {
  drop: (random, all) => void all.splice(random.below(all.length), 1),
  duplicate: (random, all) => {
    all.splice(random.below(all.length + 1), 0, random.pick(all))
  },
  swap: (random, all) => {
    const [one, other] = [random.below(all.length), random.below(all.length)]
    const frame = all[one] as WireFrame
    all[one] = all[other] as WireFrame
    all[other] = frame
  },
  changeType: (random, all) => change(random, all, () => ({ type: random.below(TYPES) })),
  changeFlags: (random, all) =>
    change(random, all, ({ flags }) => ({ flags: flags ^ random.pick(FLAGS) })),
  changeStream: (random, all) => change(random, all, () => ({ streamId: random.pick(STREAMS) })),
  changeNumber: (random, all) =>
    change(random, all, ({ payload }) => {
      if (payload.length < 4) return {}
      const copy = Buffer.from(payload)
      copy.writeUInt32BE(random.pick(NUMBERS), random.below(payload.length - 3))
      return { payload: copy }
    }),
  changePadding: (random, all) =>
    change(random, all, ({ flags, payload }) => ({
      flags: flags | 0x8,
      payload: Buffer.concat([Buffer.of(random.below(256)), payload]),
    })),
  shorten: (random, all) =>
    change(random, all, ({ payload }) => ({
      payload: payload.subarray(0, random.below(payload.length + 1)),
    })),
  lengthen: (random, all) =>
    change(random, all, ({ payload }) => ({
      payload: Buffer.concat([payload, anyPayload(random)]),
    })),
  splitBlock: (random, all) => {
    const at = random.below(all.length)
    const { type, flags, streamId, payload } = all[at] as WireFrame
    const cut = random.below(payload.length + 1)
    all.splice(
      at,
      1,
      { type, flags: flags & ~0x4, streamId, payload: payload.subarray(0, cut) },
      { type: 9, flags: flags & 0x4, streamId, payload: payload.subarray(cut) },
    )
  },
  insert: (random, all) => {
    all.splice(random.below(all.length + 1), 0, anyFrame(random))
  },
  repeat: (random, all) => {
    const at = random.below(all.length)
    const count = random.between(2, MOST_REPEATS)
    all.splice(at, 0, ...Array.from({ length: count }, () => all[at] as WireFrame))
  },
  splice: (random, all, others) => {
    const from = random.below(others.length)
    all.splice(random.below(all.length + 1), 0, ...others.slice(from, from + random.between(1, 4)))
  },
}

type ByteChange = (random: SeededRandom, bytes: Buffer) => Buffer

const BYTE_CHANGES: Record<keyof typeof OF_BYTES, ByteChange> = {
  flipBit: (random, bytes) => {
    const copy = Buffer.from(bytes)
    const at = random.below(copy.length)
    copy[at] = (copy[at] as number) ^ (1 << random.below(8))
    return copy
  },
  changeLength: (random, bytes) => {
    const { frames } = framesOf(bytes)
    if (frames.length === 0) return bytes
    const index = random.below(frames.length)
    const at = framesBytes(frames.slice(0, index)).length
    const copy = Buffer.from(bytes)
    const length = copy.readUIntBE(at, 3)
    const other = random.chance(0.5) ? length + random.between(-2, 2) : random.pick(LENGTHS)
    copy.writeUIntBE(Math.max(0, other), at, 3)
    return copy
  },
  replaceByte: (random, bytes) => {
    const copy = Buffer.from(bytes)
    copy[random.below(copy.length)] = random.below(256)
    return copy
  },
  deleteRange: (random, bytes) => {
    const at = random.below(bytes.length)
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + random.between(1, 12))])
  },
  truncate: (random, bytes) => bytes.subarray(0, random.below(bytes.length + 1)),
}

/** Cuts `bytes` at up to six random places: how it comes over the connection. */
export function bytesInPieces(random: SeededRandom, bytes: Buffer): Buffer[] {
  const cuts = Array.from({ length: random.below(7) }, () => random.below(bytes.length + 1))
  const ends = [...cuts, bytes.length].toSorted((one, other) => one - other)
  return ends
    .map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
    .filter(piece => piece.length > 0)
}

/** One line that says a case. */
export function caseLine(bytes: Buffer): string {
  const { frames, end } = framesOf(bytes)
  return `${frames.length} frames and ${bytes.length - end} octets: ${bytes.toString('base64')}`
}
