/**
 * The memory that frames are written into: shared by all writers, and used again once all that was written there has left.
 * Memory that is new all the time is cold, and V8 marks its whole heap again and again because of it.
 */

const SLAB_OCTETS = 64 * 1024
/** Slabs beside the present one that may come back; of more than that, the oldest are V8's to collect. */
const MOST_KEPT = 16

export class Slab {
  readonly memory: Buffer
  /** Used up to here. */
  at = 0
  /** Parts of it that writers have, and pieces that nobody has given back. */
  users = 0

  constructor(octets: number) {
    this.memory = Buffer.allocUnsafeSlow(octets)
  }

  /** One of its users is none any more. */
  leave(): void {
    this.users -= 1
    if (this.users === 0) this.at = 0
  }
}

let present = new Slab(0)
const kept: Slab[] = []
/** Of `kept`, whose place is taken by the next one. */
let oldest = 0

/** A slab with room for so many octets from its `at` on. */
export function slabWith(octets: number): Slab {
  if (present.at + octets <= present.memory.length) return present
  const full = present
  const free = kept.findIndex(({ users, memory }) => users === 0 && octets <= memory.length)
  if (free >= 0) {
    present = kept[free] as Slab
    kept[free] = full
  } else {
    present = new Slab(Math.max(SLAB_OCTETS, octets))
    keep(full)
  }
  return present
}

function keep(slab: Slab): void {
  if (kept.length < MOST_KEPT) {
    kept.push(slab)
    return
  }
  kept[oldest] = slab
  oldest = (oldest + 1) % MOST_KEPT
}

/** A piece of some slab has left, and its memory is not read any more. Once for each piece. */
export function giveBackPiece({ buffer }: Buffer): void {
  if (present.memory.buffer === buffer) present.leave()
  else kept.find(({ memory }) => memory.buffer === buffer)?.leave()
}
