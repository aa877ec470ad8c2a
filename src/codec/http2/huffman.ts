/**
 * The Huffman code of HPACK (RFC 7541 §5.2, appendix B). It is canonical: the codes follow from their lengths, so the
 * lengths are all that stands here. Text is Latin-1, a character a byte.
 */

/** Bits of the code of each byte. */
// biome-ignore format: a table, sixteen bytes a line
const LENGTHS: Uint8Array = Uint8Array.of(
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
)
const EOS = 256
const EOS_LENGTH = 30

/** What `decodeHuffman` answers where the bytes are no text. */
export const HUFFMAN_INVALID = -1

/** Room that decoding so many bytes takes: the shortest code has five bits, and a byte behind the last may be written. */
export function mostDecoded(bytes: number): number {
  return Math.floor((bytes * 8) / 5) + 1
}

const CODES = canonicalCodes()

/**
 * A step of the decoder for each state and half a byte: `next state << 9 | emits << 8 | byte`, or -1. A code has five
 * bits or more, so that half a byte ends one at most.
 */
const EMITS_SHIFT = 8
const EMITS = 1 << EMITS_SHIFT
const NEXT_SHIFT = 9
const { steps: STEPS, ends: ENDS } = decoderOf(CODES)

/**
 * Decodes `source[start, end)` into `into`, which must have room for `mostDecoded` bytes. Returns how many
 * they are, or HUFFMAN_INVALID: for EOS, and for padding that is longer than seven bits or not all ones. A byte is written
 * whether a code has ended or not: nobody can tell beforehand, and a processor that guesses wrong loses more.
 */
export function decodeHuffman(
  source: Uint8Array,
  start: number,
  end: number,
  into: Uint8Array,
): number {
  let state = 0
  let to = 0
  for (let from = start; from < end; from++) {
    const byte = source[from] as number
    let step = STEPS[(state << 4) | (byte >> 4)] as number
    if (step < 0) return HUFFMAN_INVALID
    into[to] = step
    to += (step >> EMITS_SHIFT) & 1
    step = STEPS[((step >> NEXT_SHIFT) << 4) | (byte & 15)] as number
    if (step < 0) return HUFFMAN_INVALID
    into[to] = step
    to += (step >> EMITS_SHIFT) & 1
    state = step >> NEXT_SHIFT
  }
  return ENDS[state] === 1 ? to : HUFFMAN_INVALID
}

/** Bytes that `text` takes, encoded. */
export function huffmanLength(text: string): number {
  let bits = 0
  for (let at = 0; at < text.length; at++) bits += LENGTHS[text.charCodeAt(at) & 0xff] as number
  return (bits + 7) >> 3
}

/** What `encodeHuffman` answers where there is no room. */
export const HUFFMAN_LONGER = -1

/** Encodes `text` into `into[at, end)`; returns the position behind it, or HUFFMAN_LONGER. */
export function encodeHuffman(text: string, into: Uint8Array, at: number, end: number): number {
  let to = at
  // Less than 16 bits wait at a time, and no more than 15 come: a code has at most 28 (EOS is never written).
  let waiting = 0
  let bits = 0
  for (let index = 0; index < text.length; index++) {
    const byte = text.charCodeAt(index) & 0xff
    const code = CODES[byte] as number
    let length = LENGTHS[byte] as number
    if (length > 15) {
      length -= 15
      waiting = (waiting << length) | (code >> 15)
      bits += length
      if (bits >= 16) {
        if (to + 2 > end) return HUFFMAN_LONGER
        bits -= 16
        into[to++] = waiting >> (bits + 8)
        into[to++] = waiting >> bits
        waiting &= (1 << bits) - 1
      }
      length = 15
    }
    waiting = (waiting << length) | (code & 0x7fff)
    bits += length
    if (bits >= 16) {
      if (to + 2 > end) return HUFFMAN_LONGER
      bits -= 16
      into[to++] = waiting >> (bits + 8)
      into[to++] = waiting >> bits
      waiting &= (1 << bits) - 1
    }
  }
  if (to + ((bits + 7) >> 3) > end) return HUFFMAN_LONGER
  if (bits >= 8) {
    bits -= 8
    into[to++] = waiting >> bits
  }
  // Filled up with the first bits of EOS, which are ones.
  if (bits > 0) into[to++] = (waiting << (8 - bits)) | (0xff >> bits)
  return to
}

/** Codes of a length follow each other in the order of their bytes, those of the next length behind them. EOS is the last. */
function canonicalCodes(): Uint32Array {
  const codes = new Uint32Array(EOS + 1)
  let code = 0
  for (let length = 1; length <= EOS_LENGTH; length++) {
    code *= 2
    for (let byte = 0; byte <= EOS; byte++) if (lengthOf(byte) === length) codes[byte] = code++
  }
  return codes
}

function lengthOf(byte: number): number {
  return byte === EOS ? EOS_LENGTH : (LENGTHS[byte] as number)
}

/** A node of the tree of codes: its two children, each a node or the byte at a leaf. */
type Node = [zero: Node | number | undefined, one: Node | number | undefined]

function decoderOf(codes: Uint32Array): { steps: Int32Array; ends: Uint8Array } {
  const root = treeOf(codes)
  const nodes = innerNodes(root)
  const states = new Map(nodes.map((node, state) => [node, state]))
  const steps = new Int32Array(nodes.length * 16)
  for (const [state, node] of nodes.entries()) {
    for (let half = 0; half < 16; half++) {
      let at = node
      let step = 0
      for (let bit = 3; bit >= 0 && step >= 0; bit--) {
        const child = at[((half >> bit) & 1) as 0 | 1]
        if (child === EOS || child === undefined) step = -1
        else if (typeof child === 'number') [at, step] = [root, EMITS | child]
        else at = child
      }
      steps[state * 16 + half] = step < 0 ? -1 : ((states.get(at) as number) << NEXT_SHIFT) | step
    }
  }
  return { steps, ends: endsOf(root, states) }
}

function treeOf(codes: Uint32Array): Node {
  const root: Node = [undefined, undefined]
  for (const [byte, code] of codes.entries()) {
    let node = root
    for (let bit = lengthOf(byte) - 1; bit > 0; bit--) {
      const side = ((code >>> bit) & 1) as 0 | 1
      node[side] ??= [undefined, undefined]
      node = node[side] as Node
    }
    node[(code & 1) as 0 | 1] = byte
  }
  return root
}

function innerNodes(root: Node): Node[] {
  const nodes = [root]
  for (const node of nodes) for (const child of node) if (Array.isArray(child)) nodes.push(child)
  return nodes
}

/** States in which text may end: behind a whole code, and up to seven ones. */
function endsOf(root: Node, states: ReadonlyMap<Node, number>): Uint8Array {
  const ends = new Uint8Array(states.size)
  let node = root
  for (let ones = 0; ones <= 7; ones++) {
    ends[states.get(node) as number] = 1
    node = node[1] as Node
  }
  return ends
}
