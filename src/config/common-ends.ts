/** How far two texts are the same from their beginnings and from their ends. */

/** Compared at a time: large enough for the comparison of the system to be at its best. */
const BLOCK_BYTES = 64 * 1024

/** How many bytes at the beginning of both are the same. */
export function commonStart(a: Buffer, b: Buffer): number {
  return longest(Math.min(a.length, b.length), (from, to) => a.compare(b, from, to, from, to) === 0)
}

/** How many bytes at the end of both are the same, `most` at most. */
export function commonEnd(a: Buffer, b: Buffer, most: number): number {
  const [endA, endB] = [a.length, b.length]
  return longest(
    most,
    (from, to) => a.compare(b, endB - to, endB - from, endA - to, endA - from) === 0,
  )
}

/** The longest stretch from 0 on, `most` at most, all of whose pieces are the same. */
function longest(most: number, isSame: (from: number, to: number) => boolean): number {
  let same = 0
  while (same < most) {
    const end = Math.min(same + BLOCK_BYTES, most)
    if (!isSame(same, end)) return same + firstDifference(same, end, isSame)
    same = end
  }
  return most
}

function firstDifference(
  start: number,
  end: number,
  isSame: (from: number, to: number) => boolean,
): number {
  let [same, different] = [start, end]
  while (different - same > 1) {
    const middle = (same + different) >>> 1
    if (isSame(same, middle)) same = middle
    else different = middle
  }
  return same - start
}
