/**
 * Damage that knows what HTTP/1.1 is made of: lines, numbers, chunk sizes, separators. Text is one character a byte. It
 * only takes and gives text and numbers: the same seed gives the same case.
 */
import type { SeededRandom } from '../seeded-random.ts'

/** What turns one reading of a message into another. */
// biome-ignore format: a table
const TELLING = [
  '\r', '\n', '\r\n', '\n\n', '\r\n\r\n', '\0', ' ', '\t', '\x0b', '\x0c', '\x7f', '\x85', '\xa0',
  ':', ',', ';', '=', '"', '\\', '/', '?', '#', '@', '*', '%', '_', '-', '+', '.', '0', '0x',
]
// biome-ignore format: a table
const LINES = [
  'Content-Length: 5', 'Content-Length: 0', 'content-length:5', 'Content_Length: 5', 'Content-Length : 5',
  'Transfer-Encoding: chunked', 'transfer-encoding:chunked', 'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding : chunked', 'Transfer-Encoding:\tchunked', 'Transfer-Encoding: x', 'TE: trailers',
  'Connection: close', 'Connection: keep-alive', 'Connection: upgrade', 'Connection: content-length, host',
  'Connection: x-amt-tenant', 'Upgrade: websocket', 'Upgrade: h2c', 'Expect: 100-continue', 'Trailer: X',
  'Host: b.test', 'host:', 'X-Amt-Tenant: other', 'x_amt_tenant: other', 'X-Forwarded-For: 1.2.3.4',
  ' folded', '\tfolded', 'X', ': a', 'X: a', '0', '5', '5;a=b', 'Authorization: Bearer a.b.c', 'Via: 1.1 amt',
]
// biome-ignore format: a table
const NUMBERS = [
  '0', '1', '00', '-1', '+5', ' 5', '5 ', '0x5', '5.0', '5e0', '1_0', '9', 'a', 'f', 'ff', '1000', 'ffff',
  '2147483648', '4294967296', '9007199254740993', '9223372036854775807', '18446744073709551616',
  'ffffffff', '100000000', 'ffffffffffff', '1000000000000', '7fffffffffffffff', 'ffffffffffffffff',
]
const MAX_BYTES = 12_000
const REPAIRED = 0.2

const RECIPES = {
  flipBit: 4,
  replaceByte: 4,
  insertTelling: 6,
  deleteRange: 3,
  repeatRange: 2,
  insertLine: 6,
  duplicateLine: 4,
  deleteLine: 3,
  swapLines: 4,
  changeNumber: 6,
  changeChunkSize: 4,
  changeLineEnd: 3,
  changeCase: 2,
  splice: 5,
  append: 4,
  truncate: 2,
  inflate: 1,
} as const

/** `text` with one to five changes; `others` are what it may be spliced with. */
export function mutate(random: SeededRandom, text: string, others: readonly string[]): string {
  let changed = text
  for (let left = random.chance(0.5) ? 1 : random.between(2, 5); left > 0; left--)
    changed = CHANGES[random.weighted(RECIPES)](random, changed, others)
  if (random.chance(REPAIRED)) changed = withTrueLength(changed)
  return changed.slice(0, MAX_BYTES)
}

/** Damage elsewhere is worth more where the body is as long as it says. */
function withTrueLength(text: string): string {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return text
  return (
    text.slice(0, end).replace(/(?<=\r\nContent-Length: *)\d+/i, String(text.length - end - 4)) +
    text.slice(end)
  )
}

type Change = (random: SeededRandom, text: string, others: readonly string[]) => string

const replaced = (text: string, from: number, to: number, by: string): string =>
  text.slice(0, from) + by + text.slice(to)

/** Replaces one of the matches of `pattern` by what `by` makes of it. */
function oneOf(
  random: SeededRandom,
  text: string,
  pattern: RegExp,
  by: (match: string) => string,
): string {
  const matches = [...text.matchAll(pattern)]
  if (matches.length === 0) return text
  const { 0: match, index } = random.pick(matches)
  return replaced(text, index, index + match.length, by(match))
}

/** Changes the order or number of lines; the body counts as lines, too. */
function lines(text: string, change: (all: string[]) => void): string {
  const all = text.split('\r\n')
  change(all)
  return all.join('\r\n')
}

const CHANGES: Record<keyof typeof RECIPES, Change> = {
  flipBit: (random, text) => {
    const at = random.below(text.length)
    const code = (text.charCodeAt(at) || 0) ^ (1 << random.below(8))
    return replaced(text, at, at + 1, String.fromCharCode(code))
  },
  replaceByte: (random, text) => {
    const at = random.below(text.length)
    const by = random.chance(0.5) ? random.pick(TELLING) : String.fromCharCode(random.below(256))
    return replaced(text, at, at + 1, by)
  },
  insertTelling: (random, text) => {
    const at = random.below(text.length + 1)
    return replaced(text, at, at, random.pick(TELLING))
  },
  deleteRange: (random, text) => {
    const at = random.below(text.length)
    return replaced(text, at, at + random.between(1, 12), '')
  },
  repeatRange: (random, text) => {
    const at = random.below(text.length)
    return replaced(text, at, at, text.slice(at, at + random.between(1, 40)))
  },
  insertLine: (random, text) =>
    lines(text, all => all.splice(random.below(all.length + 1), 0, random.pick(LINES))),
  duplicateLine: (random, text) =>
    lines(text, all => {
      all.splice(random.below(all.length + 1), 0, random.pick(all))
    }),
  deleteLine: (random, text) => lines(text, all => all.splice(random.below(all.length), 1)),
  swapLines: (random, text) =>
    lines(text, all => {
      const [one, other] = [random.below(all.length), random.below(all.length)]
      const line = all[one] as string
      all[one] = all[other] as string
      all[other] = line
    }),
  changeNumber: (random, text) =>
    oneOf(random, text, /\d+/g, number =>
      random.chance(0.4) ? String(Number(number) + random.between(-2, 2)) : random.pick(NUMBERS),
    ),
  changeChunkSize: (random, text) =>
    oneOf(random, text, /(?<=\r\n)[0-9a-fA-F]+(?=[;\r])/g, size =>
      random.chance(0.4)
        ? Math.max(0, Number.parseInt(size, 16) + random.between(-2, 2)).toString(16)
        : random.pick(NUMBERS) + random.pick(['', '', ';', ';a', ' ', '\t']),
    ),
  changeLineEnd: (random, text) =>
    oneOf(random, text, /\r\n/g, () =>
      random.pick(['\n', '\r', '\r\r\n', '\n\r', '', '\r\n ', ' \r\n']),
    ),
  changeCase: (random, text) =>
    oneOf(random, text, /[A-Za-z-]+/g, word =>
      random.pick([word.toLowerCase(), word.toUpperCase(), word.replaceAll('-', '_')]),
    ),
  splice: (random, text, others) => {
    const other = random.pick(others)
    const line = random.chance(0.7)
    const cut = (of: string): number =>
      line ? of.indexOf('\r\n', random.below(of.length)) + 2 : random.below(of.length)
    return text.slice(0, cut(text)) + other.slice(cut(other))
  },
  append: (random, text, others) => text + random.pick(others),
  truncate: (random, text) => text.slice(0, random.below(text.length + 1)),
  inflate: (random, text) => {
    const at = random.below(text.length)
    return replaced(
      text,
      at,
      at,
      random.pick(['a', ' ', 'X: a\r\n', '0', ';']).repeat(random.between(50, 3_000)),
    )
  },
}

/** Cuts `text` at up to three random places: how it comes over the connection. */
export function inPieces(random: SeededRandom, text: string): string[] {
  const cuts = Array.from({ length: random.below(4) }, () => random.below(text.length + 1))
  const pieces: string[] = []
  let from = 0
  for (const cut of cuts.toSorted((one, other) => one - other)) {
    pieces.push(text.slice(from, cut))
    from = cut
  }
  return [...pieces, text.slice(from)].filter(piece => piece !== '')
}
