/** HPACK: the examples of RFC 7541, what must be refused, and that both directions agree whatever comes. */
import { test } from 'tap'
import { fieldName, hashOf, OTHER } from '../../../../src/codec/http2/field-name.ts'
import {
  HeaderField,
  INDEXED,
  type Indexing,
  NEVER,
  PLAIN,
} from '../../../../src/codec/http2/header-field.ts'
import { HpackDecoder } from '../../../../src/codec/http2/hpack-decoder.ts'
import { HpackEncoder } from '../../../../src/codec/http2/hpack-encoder.ts'
import {
  decodeHuffman,
  encodeHuffman,
  HUFFMAN_INVALID,
  HUFFMAN_LONGER,
  huffmanLength,
  mostDecoded,
} from '../../../../src/codec/http2/huffman.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

const CAPS = { tableSize: 4_096, listSize: 65_536, fields: 1_000 }
const SEED = Number(process.env['HPACK_SEED'] ?? Date.now() % 2 ** 31)

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')
}

function listOf(decoder: HpackDecoder): string[] {
  return decoder.fields.map(({ name, value }) => `${name}: ${value}`)
}

function read(decoder: HpackDecoder, hex: string): string[] | 'invalid' {
  const block = bytesOf(hex)
  return decoder.decode(block, 0, block.length) ? listOf(decoder) : 'invalid'
}

function encoded(encoder: HpackEncoder, fields: readonly HeaderField[]): Buffer {
  const into = Buffer.alloc(HpackEncoder.mostOctets(fields))
  return into.subarray(0, encoder.encode(fields, into, 0))
}

await test('RFC 7541 C.2: each kind of field', async t => {
  const decoder = new HpackDecoder(CAPS)
  t.same(read(decoder, '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572'), [
    'custom-key: custom-header',
  ])
  t.equal(decoder.tableSize, 55)
  t.same(read(decoder, '040c 2f73 616d 706c 652f 7061 7468'), [':path: /sample/path'])
  t.equal(decoder.fields[0]?.indexing, PLAIN)
  t.same(read(decoder, '1008 7061 7373 776f 7264 0673 6563 7265 74'), ['password: secret'])
  t.equal(decoder.fields[0]?.indexing, NEVER)
  t.same(read(decoder, '82'), [':method: GET'])
  t.equal(decoder.tableSize, 55)
})

const REQUESTS = {
  'C.3, without Huffman': [
    '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
    '8286 84be 5808 6e6f 2d63 6163 6865',
    '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
  ],
  'C.4, with Huffman': [
    '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
    '8286 84be 5886 a8eb 1064 9cbf',
    '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
  ],
} as const

for (const [name, blocks] of Object.entries(REQUESTS)) {
  await test(`RFC 7541 ${name}: three requests on one connection`, async t => {
    const decoder = new HpackDecoder(CAPS)
    const lists = [
      [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
      [
        ':method: GET',
        ':scheme: http',
        ':path: /',
        ':authority: www.example.com',
        'cache-control: no-cache',
      ],
      [
        ':method: GET',
        ':scheme: https',
        ':path: /index.html',
        ':authority: www.example.com',
        'custom-key: custom-value',
      ],
    ]
    for (const [index, block] of blocks.entries()) {
      t.same(read(decoder, block), lists[index])
      t.equal(decoder.tableSize, [57, 110, 164][index])
    }
  })
}

await test('RFC 7541 C.6: three answers through a table of 256 octets, with evictions', async t => {
  const decoder = new HpackDecoder({ ...CAPS, tableSize: 256 }, 256)
  const date = 'date: Mon, 21 Oct 2013 20:13:21 GMT'
  t.same(
    read(
      decoder,
      '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
    ),
    [':status: 302', 'cache-control: private', date, 'location: https://www.example.com'],
  )
  t.equal(decoder.tableSize, 222)
  t.same(read(decoder, '4883 640e ffc1 c0bf'), [
    ':status: 307',
    'cache-control: private',
    date,
    'location: https://www.example.com',
  ])
  t.equal(decoder.tableSize, 222)
  t.same(
    read(
      decoder,
      '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
    ),
    [
      ':status: 200',
      'cache-control: private',
      'date: Mon, 21 Oct 2013 20:13:22 GMT',
      'location: https://www.example.com',
      'content-encoding: gzip',
      'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
    ],
  )
  t.equal(decoder.tableSize, 215)
})

await test('what cannot be read is refused', async t => {
  for (const [what, hex] of Object.entries({
    'index 0': '80',
    'an index beyond both tables': 'be',
    'a name beyond both tables': '7f 20 01 61',
    'an integer without an end': 'ff ff ff',
    'an integer of too many octets': 'ff 80 80 80 80 80 01',
    'an integer that is larger than any of ours': 'ff ff ff ff ff 7f',
    'a name that ends early': '40 05 61 62',
    'a value that is missing': '40 01 61',
    'a value that ends early': '40 01 61 05 62',
    'Huffman that is padded with a zero': '40 01 61 81 1e',
    'Huffman that is padded with eight ones': '40 01 61 82 1f ff',
    'Huffman with EOS in it': '40 01 61 84 ff ff ff ff',
    'a size of the table behind a field': '82 20',
    'a size of the table beyond what we allow': '3f e2 1f',
    'a size of the table of more than 32 bits, which are 31': '3f 80 80 80 80 10',
  })) {
    t.equal(read(new HpackDecoder(CAPS), hex), 'invalid', what)
  }
})

await test('sizes of the table at the beginning are followed', async t => {
  const decoder = new HpackDecoder(CAPS)
  read(decoder, '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572')
  t.same(read(decoder, '20 3f e1 1f 82'), [':method: GET'], 'emptied, then as large as allowed')
  t.equal(decoder.tableSize, 0)
  t.equal(read(decoder, 'be'), 'invalid')
})

await test('a list beyond the caps is not kept, and the table stays right', async t => {
  for (const caps of [
    { ...CAPS, fields: 2 },
    { ...CAPS, listSize: 100 },
  ]) {
    const decoder = new HpackDecoder(caps)
    const field = '40 01 61 01 62'
    t.same(read(decoder, `82 86 84 ${field}`), [':method: GET', ':scheme: http'])
    t.ok(decoder.tooLarge)
    t.same(read(decoder, 'be'), ['a: b'])
    t.notOk(decoder.tooLarge)
  }
})

await test('a bomb of references costs no more than its fields', async t => {
  const decoder = new HpackDecoder({ ...CAPS, listSize: 16_384 })
  const value = 'x'.repeat(4_000)
  const block = encoded(new HpackEncoder(), [new HeaderField('a', value, INDEXED)])
  const bomb = Buffer.concat([block, Buffer.alloc(60_000, 0xbe)])
  t.ok(decoder.decode(bomb, 0, bomb.length))
  t.ok(decoder.tooLarge)
  t.equal(decoder.fields.length, 4)
})

await test('Huffman that does not fit leaves alone what stands behind', async t => {
  for (const text of ['aaaaaaaaaaaaaaaaaaaaaaaa', '\0\0\0', 'a\u00ff', '~~~~~~~~']) {
    const octets = huffmanLength(text)
    for (let room = 0; room <= octets; room += 1) {
      const into = Buffer.alloc(octets + 8, 0xee)
      t.equal(encodeHuffman(text, into, 0, room), room === octets ? octets : HUFFMAN_LONGER)
      t.ok(into.subarray(room).every(byte => byte === 0xee))
    }
  }
})

await test('what is not remembered is neither looked for nor written with Huffman', async t => {
  const encoder = new HpackEncoder()
  const first = [new HeaderField('x-request-id', 'abc', INDEXED)]
  t.equal(encoded(encoder, first).length, 3 + huffmanLength('x-request-id') + huffmanLength('abc'))
  for (const indexing of [PLAIN, NEVER] as const) {
    const again = encoded(encoder, [new HeaderField('x-request-id', 'abc', indexing)])
    t.equal(again.toString('hex'), indexing === PLAIN ? '0f2f03616263' : '1f2f03616263')
  }
  const whole = encoded(new HpackEncoder(), [new HeaderField('x', 'aaaaaaaa', PLAIN)])
  t.equal(whole.toString('latin1'), '\0\u0001x\u0008aaaaaaaa')
})

await test('a text that is remembered is written in whichever form is shorter, in no more room than it was said to take', async t => {
  for (const value of ['', 'a', '~', 'e'.repeat(126), 'e'.repeat(127), '~'.repeat(200), '\u00ff']) {
    const fields = [new HeaderField('~', value, INDEXED)]
    const block = Buffer.alloc(HpackEncoder.mostOctets(fields) + 100, 0xee)
    const end = new HpackEncoder().encode(fields, block, 0)
    // One octet each for the form, the length of the name, and the name.
    const length = Math.min(value.length, huffmanLength(value))
    t.equal(end, 3 + (length < 127 ? 1 : length < 255 ? 2 : 3) + length)
    t.ok(block.subarray(end).every(byte => byte === 0xee))
    const decoder = new HpackDecoder(CAPS)
    t.ok(decoder.decode(block, 0, end))
    t.equal(decoder.fields[0]?.value, value)
  }
})

await test('an encoder finds what is in its table, among many and after evictions', async t => {
  const encoder = new HpackEncoder()
  const decoder = new HpackDecoder(CAPS)
  let longer = 0
  for (let round = 0; round < 300; round += 1) {
    const fields = Array.from(
      { length: 20 },
      (_, at) => new HeaderField(`x-${at}`, `v${at}`, INDEXED),
    )
    const single = new HeaderField('x-single', `${round}`, INDEXED)
    const all = [...fields, single, ...fields]
    const block = encoded(encoder, all)
    t.ok(decoder.decode(block, 0, block.length))
    t.equal(listOf(decoder).join(), all.map(({ name, value }) => `${name}: ${value}`).join())
    // An index each of one or two octets, unless they were just evicted; of the new one the name is known.
    if (block.length > 100) longer += 1
  }
  t.ok(longer < 10, `${longer} longer blocks`)
})

await test('names of the same hash make an encoder look no longer', async t => {
  // Found by search: FNV-1a of these ends in the same bits.
  const byBucket = new Map<number, string[]>()
  for (let at = 0; at < 20_000; at += 1) {
    const name = `n${at.toString(36)}`
    const bucket = hashOf(0x811c9dc5 | 0, name) & 127
    byBucket.set(bucket, [...(byBucket.get(bucket) ?? []), name])
  }
  const names = [...byBucket.values()].find(each => each.length >= 100) ?? []
  const encoder = new HpackEncoder()
  const decoder = new HpackDecoder(CAPS)
  for (let round = 0; round < 3; round += 1) {
    const fields = names.slice(0, 100).map(name => new HeaderField(name, '', INDEXED))
    const block = encoded(encoder, fields)
    t.ok(decoder.decode(block, 0, block.length))
    t.same(
      listOf(decoder),
      fields.map(({ name }) => `${name}: `),
    )
  }
})

await test('names are shared, and those of others push nobody out for long', async t => {
  const known = fieldName('x-known')
  t.equal(fieldName('x-known'), known)
  t.equal(fieldName(':status'), fieldName(':status'))
  t.equal(fieldName('x'.repeat(65)).role, OTHER)
  t.not(fieldName('x'.repeat(65)), fieldName('x'.repeat(65)))
  t.not(fieldName('Upper'), fieldName('Upper'))
  for (let at = 0; at < 5_000; at += 1) fieldName(`x-${at}`)
  const again = fieldName('x-known')
  t.equal(fieldName('x-known'), again)
})

await test('Huffman: every byte, every length, both ways', async t => {
  const random = new SeededRandom(SEED)
  t.comment(`HPACK_SEED=${SEED}`)
  const texts = [
    ...Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)),
    ...Array.from({ length: 2_000 }, () =>
      Buffer.from(Array.from({ length: random.below(40) }, () => random.below(256))).toString(
        'latin1',
      ),
    ),
  ]
  for (const text of texts) {
    const into = Buffer.alloc(huffmanLength(text))
    const end = encodeHuffman(text, into, 0, into.length)
    const out = Buffer.alloc(mostDecoded(end))
    const length = decodeHuffman(into, 0, end, out)
    if (end !== into.length || out.toString('latin1', 0, length) !== text)
      t.fail(JSON.stringify(text))
  }
  t.equal(decodeHuffman(Buffer.of(0xff), 0, 1, Buffer.alloc(4)), HUFFMAN_INVALID, 'eight ones')
  t.equal(decodeHuffman(Buffer.of(), 0, 0, Buffer.alloc(4)), 0)
})

const NAMES = [':path', ':status', 'cookie', 'authorization', 'x-a', 'x-b', 'content-type', 'etag']

function randomField(random: SeededRandom): HeaderField {
  const value = random.below(4) === 0 ? 'y'.repeat(random.below(300)) : `v${random.below(12)}`
  return new HeaderField(random.pick(NAMES), value, random.pick<Indexing>([PLAIN, INDEXED, NEVER]))
}

await test('what one end writes the other reads, whatever happens to the table', async t => {
  const random = new SeededRandom(SEED)
  t.comment(`HPACK_SEED=${SEED}`)
  for (let connection = 0; connection < 40; connection += 1) {
    const limit = random.pick([0, 64, 256, 4_096, 16_384])
    const encoder = new HpackEncoder(random.pick([0, 100, 4_096, 65_536]))
    const decoder = new HpackDecoder({ ...CAPS, tableSize: Math.max(limit, 4_096) })
    for (let block = 0; block < 60; block += 1) {
      if (random.below(10) === 0) encoder.setLimit(random.below(1 + Math.max(limit, 4_096)))
      if (random.below(20) === 0) encoder.setLimit(0)
      const fields = Array.from({ length: random.below(20) }, () => randomField(random))
      const bytes = encoded(encoder, fields)
      const valid = decoder.decode(bytes, 0, bytes.length)
      const wrong =
        !valid ||
        listOf(decoder).join('\n') !==
          fields.map(({ name, value }) => `${name}: ${value}`).join('\n')
      if (wrong) t.fail(`connection ${connection}, block ${block}`)
      const never = fields.flatMap(({ indexing }, index) => (indexing === NEVER ? [index] : []))
      if (never.some(index => decoder.fields[index]?.indexing !== NEVER))
        t.fail('a field that must never be indexed was')
    }
  }
})

await test('random bytes are refused or read, and never more than the caps', async t => {
  const random = new SeededRandom(SEED)
  t.comment(`HPACK_SEED=${SEED}`)
  const seen = { valid: 0, invalid: 0 }
  for (let run = 0; run < 20_000; run += 1) {
    const decoder = new HpackDecoder({ ...CAPS, fields: 10 })
    const bytes = Buffer.from(Array.from({ length: random.below(60) }, () => random.below(256)))
    seen[decoder.decode(bytes, 0, bytes.length) ? 'valid' : 'invalid'] += 1
    if (decoder.fields.length > 10 || decoder.tableSize > 4_096) t.fail(bytes.toString('hex'))
  }
  t.ok(seen.valid > 100 && seen.invalid > 100, JSON.stringify(seen))
})
