/**
 * The body of bulk transfers: each 32-bit word (little endian) holds its own place. So any sample of it shows whether
 * bytes before it were lost, doubled or mixed up, and a receiver need not look at all of them. It begins anew after
 * 16 MiB, so that who sends it need not make it again and again.
 */

export const BULK_BYTES: number = 2 ** 30
export const BULK_PATH = '/bulk'
/** Divides `BULK_BYTES`. */
export const PATTERN_BYTES: number = 2 ** 24

const WORD = 4
/** One word of each 16 KiB is looked at, and the first and the last whole one of each piece. */
const STRIDE = 16_384

/** The pattern once. */
export function makePattern(): Buffer {
  return Buffer.from(Uint32Array.from({ length: PATTERN_BYTES / WORD }, (_, place) => place).buffer)
}

/** What is wrong with `piece`, which was received at `offset`, as far as a sample of it shows; `undefined` if nothing. */
export function patternFault(piece: Buffer, offset: number): string | undefined {
  const first = (WORD - (offset % WORD)) % WORD
  const last = piece.length - WORD - ((offset + piece.length) % WORD)
  for (let at = first; at <= last; at += STRIDE) {
    const fault = wordFault(piece, at, offset)
    if (fault !== undefined) return fault
  }
  return last >= first ? wordFault(piece, last, offset) : undefined
}

function wordFault(piece: Buffer, at: number, offset: number): string | undefined {
  const expected = ((offset + at) % PATTERN_BYTES) / WORD
  const found = piece.readUInt32LE(at)
  return found === expected
    ? undefined
    : `at byte ${offset + at} stands word ${found} instead of ${expected}`
}
