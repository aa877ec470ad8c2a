import { test } from 'tap'
import { MALFORMED } from '../../../../src/codec/http2/field-name.ts'
import {
  HeaderField,
  INDEXED,
  type Indexing,
  NEVER,
} from '../../../../src/codec/http2/header-field.ts'
import { HpackDecoder } from '../../../../src/codec/http2/hpack-decoder.ts'
import { HpackEncoder } from '../../../../src/codec/http2/hpack-encoder.ts'
import { RecentValues } from '../../../../src/codec/http2/recent-values.ts'
import { DEFAULT_SESSION } from '../../../../src/codec/http2/session-options.ts'

const MOST_BYTES = 8 * 1024 * 1024
/** Of each, beside its octets and its text. */
const OVERHEAD = 256

function blockOf(name: string, value: string, indexing: Indexing): Buffer {
  const field = new HeaderField(name, value, indexing)
  const into = Buffer.alloc(HpackEncoder.mostOctets([field]))
  return into.subarray(0, new HpackEncoder().encode([field], into, 0))
}

/** On a connection of its own. */
function decode(block: Buffer): HeaderField {
  const decoder = new HpackDecoder(DEFAULT_SESSION.headers)
  if (!decoder.decode(block, 0, block.length)) throw new Error('not read')
  return decoder.fields[0] as HeaderField
}

/** Of 127 to 254 octets as they are: `authorization`, number 23 of the static table, never to be in a table. */
function plainBlock(octets: Buffer): Buffer {
  return Buffer.concat([Buffer.of(0x1f, 23 - 0x0f, 0x7f, octets.length - 0x7f), octets])
}

await test('a long value that comes again is the same field, on whatever connection', t => {
  const value = `Bearer ${'0123456789abcdef'.repeat(20)}`
  const block = blockOf('authorization', value, NEVER)
  const [first, second, third] = [decode(block), decode(block), decode(block)]
  for (const field of [first, second, third]) {
    t.equal(field.name, 'authorization')
    t.equal(field.value, value)
    t.equal(field.indexing, NEVER)
  }
  t.not(first, second, 'what came once is not kept')
  t.equal(third, second)
  t.end()
})

await test('a short value is read each time', t => {
  const block = blockOf('authorization', 'Bearer 0123456789', NEVER)
  decode(block)
  t.not(decode(block), decode(block))
  t.end()
})

await test('equal octets of another name, or to be remembered otherwise, are another field', t => {
  const value = 'x'.repeat(200)
  for (let time = 0; time < 3; time++) decode(blockOf('authorization', value, NEVER))
  const cookie = decode(blockOf('cookie', value, NEVER))
  t.equal(cookie.name, 'cookie')
  t.equal(cookie.value, value)
  t.equal(decode(blockOf('authorization', value, INDEXED)).indexing, INDEXED)
  t.end()
})

await test('the octets of a Huffman code are another text than their characters', t => {
  const text = 'e'.repeat(320)
  // Huffman is spent on what is remembered alone.
  const huffman = blockOf('authorization', text, INDEXED)
  const octets = huffman.subarray(huffman.length - 200)
  for (let time = 0; time < 3; time++) t.equal(decode(huffman).value, text)
  const plain = plainBlock(octets)
  for (let time = 0; time < 3; time++)
    t.equal(decode(plain).value, octets.toString('latin1'), 'all 200 octets as they are')
  t.equal(decode(huffman).value, text)
  t.end()
})

await test('values with the same length and end are told apart', t => {
  const [one, two] = ['a', 'b'].map(first => `${first}${'0123456789'.repeat(20)}`)
  const blocks = [one, two].map(value => blockOf('authorization', value as string, NEVER))
  for (let time = 0; time < 4; time++) {
    t.equal(decode(blocks[0] as Buffer).value, one)
    t.equal(decode(blocks[1] as Buffer).value, two)
  }
  t.end()
})

await test('a long value that is no Huffman code is refused each time', t => {
  const block = blockOf('authorization', 'e'.repeat(320), INDEXED)
  // Thirty ones and more are EOS, which is never sent.
  block.fill(0xff, block.length - 8)
  for (let time = 0; time < 3; time++) t.throws(() => decode(block))
  t.end()
})

await test('a long value that no field may have is as bad when it comes again', t => {
  for (const bad of ['\0', '\r', '\n', '\x7f']) {
    const block = blockOf('x-note', `${'a'.repeat(150)}${bad}${'b'.repeat(150)}`, INDEXED)
    for (let time = 0; time < 4; time++) t.equal(decode(block).role, MALFORMED)
  }
  t.end()
})

await test('keeps what came twice, up to eight mebibytes, and nothing of values that never come again', t => {
  for (const length of [64, 4_096]) {
    const recent = new RecentValues()
    const octets = Buffer.alloc(length)
    const field = new HeaderField('authorization', 'x'.repeat(length), NEVER)
    const keep = (value: number, times: number): void => {
      octets.writeUInt32LE(value, length - 4)
      for (let time = 0; time < times; time++)
        recent.keep({ field, huffman: true }, octets, 0, length)
    }
    for (let value = 0; value < 10_000; value++) keep(value, 1)
    t.equal(recent.keptBytes, 0)
    t.equal(recent.takeForgotten(), 0)
    let most = 0
    for (let value = 0; value < 30_000; value++) {
      keep(value, 2)
      most = Math.max(most, recent.keptBytes)
    }
    t.ok(most > 0.99 * MOST_BYTES && most <= MOST_BYTES, `${most} of ${length}`)
    const kept = recent.keptBytes
    const known = kept / (2 * length + OVERHEAD)
    t.equal(recent.takeForgotten(), 30_000 - known)
    t.equal(recent.takeForgotten(), 0, 'each is said once')
    keep(29_999, 5)
    t.equal(recent.keptBytes, kept, 'what is kept again counts once')
    t.equal(recent.find(octets, 0, length)?.field, field)
    octets[0] = 1
    t.equal(recent.find(octets, 0, length), undefined)
  }
  t.end()
})
