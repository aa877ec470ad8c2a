import { test } from 'tap'
import { PlainWords } from '../../../../src/codec/http1/plain-words.ts'

const isControl = (byte: number): boolean => byte < 0x20 || byte === 0x7f

/** Of plain text, from everywhere in the range: also of bytes that differ from a control character in their highest bit. */
const PLAIN = [0x20, 0x21, 0x7e, 0x80, 0x89, 0x9f, 0xa0, 0xff]

await test('stops before each control character, wherever it stands and whatever begins where in memory', t => {
  const memory = new Uint8Array(96)
  let wrong = 0
  for (let offset = 0; offset < 8; offset++) {
    const bytes = memory.subarray(offset)
    const words = new PlainWords()
    for (let byte = 0; byte < 256; byte++)
      for (const start of [0, 1, 2, 3])
        for (let at = start; at < 60; at++) {
          memory.fill(PLAIN[(byte + at) % PLAIN.length] as number)
          bytes[at] = byte
          const stop = words.plainUntil(bytes, start, 60)
          const first = isControl(byte) ? at : 60
          // A word at each end may be left to whoever looks at each byte.
          if (stop < start || stop > first || stop < first - 7) wrong++
        }
  }
  t.equal(wrong, 0)
  t.end()
})

await test('leaves a few bytes alone, and never looks behind the end', t => {
  const words = new PlainWords()
  const text = new Uint8Array(100).fill(0x61)
  t.equal(words.plainUntil(text, 0, 31), 0)
  text[40] = 0
  // Whole words alone: what is left of one at the end is for whoever looks at each byte.
  for (let end = 32; end < 40; end++) t.equal(words.plainUntil(text, 0, end), end & ~3)
  t.equal(words.plainUntil(text, 0, 40), 40)
  t.end()
})

await test('sees what memory holds now, and which memory it is', t => {
  const words = new PlainWords()
  const one = new Uint8Array(64).fill(0x61)
  t.equal(words.plainUntil(one, 0, 64), 64)
  one[32] = 0x0d
  t.equal(words.plainUntil(one, 0, 64), 32)
  t.equal(words.plainUntil(new Uint8Array(64).fill(0x61), 0, 64), 64)
  t.end()
})
