/** Feeds a parser as a connection does, from a buffer that grows, and holds it to one answer wherever it was cut. */
import { INCOMPLETE, INVALID } from '../../../src/codec/http1/field-section.ts'

export const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')

/** What stands around the bytes that a parser may look at, to catch one that looks further. */
const BEFORE = latin1('GET /x HTTP/1.1\r\n')
const BEHIND = latin1('\r\n\r\nhost: b\r\n\r\n0\r\n\r\n')

const SMALL_BYTES = 1_200
const STRIDE = 1_021
/** How close to both ends of a long message every cut is tried. */
const EDGE = 70

export interface Outcome {
  /** INCOMPLETE, INVALID or the number of bytes that were read. */
  readonly result: number
  /** All that the parser says besides. */
  readonly said: unknown
}

/** `read` parses from `start` to `end`; `said` tells the error or the content of what it found. */
export interface Reader {
  read(bytes: Buffer, start: number, end: number): number
  said(result: number): unknown
}

export function cutsOf(length: number): number[] {
  const all = Array.from({ length: length + 1 }, (_, cut) => cut)
  if (length <= SMALL_BYTES) return all
  return all.filter(cut => cut % STRIDE === 0 || cut < EDGE || length - cut < EDGE)
}

/**
 * The one outcome for `bytes`. Throws where the outcome for a beginning of them differs from that for the whole other
 * than by being incomplete, where what is decided does not stay so, and where bytes outside of the range matter.
 */
export function readAtEverySplit(reader: Reader, bytes: Buffer): Outcome {
  const whole = outcome(reader, bytes, 0, bytes.length)
  let decided = false
  for (const cut of cutsOf(bytes.length)) {
    const given = outcome(reader, Buffer.from(bytes.subarray(0, cut)), 0, cut)
    const framed = Buffer.concat([BEFORE, bytes.subarray(0, cut), BEHIND])
    const inside = outcome(reader, framed, BEFORE.length, BEFORE.length + cut)
    if (!same(given, inside)) throw differ(`at ${cut}, alone and inside of more`, given, inside)
    if (given.result === INCOMPLETE) {
      if (decided) throw new Error(`undecided again at ${cut}`)
      continue
    }
    decided = true
    if (!same(given, whole)) throw differ(`cut at ${cut}, and whole`, given, whole)
    if (given.result > cut) throw new Error(`read ${given.result} of ${cut} bytes`)
  }
  return whole
}

function outcome(reader: Reader, bytes: Buffer, start: number, end: number): Outcome {
  const position = reader.read(bytes, start, end)
  const result = position === INCOMPLETE || position === INVALID ? position : position - start
  return { result, said: result === INCOMPLETE ? undefined : reader.said(result) }
}

function same(one: Outcome, other: Outcome): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

function differ(where: string, one: Outcome, other: Outcome): Error {
  return new Error(`${where}: ${JSON.stringify(one)} and ${JSON.stringify(other)}`)
}
