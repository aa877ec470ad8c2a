import assert from 'node:assert/strict'
import { isIPv4, isIPv6 } from 'node:net'
import * as fc from 'fast-check'
import { test } from 'tap'
import { formatIpv6, ipv4Octets, ipv6Groups } from '../../../src/codec/ip-address.ts'
import {
  MAX_PROXY_HEADER_BYTES,
  type ProxyHeaderResult,
  parseProxyHeader,
} from '../../../src/codec/proxy-protocol.ts'

const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n'
const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')
const IPV4_BLOCK = Buffer.from('c0000201c633640a1f9001bb', 'hex')
const tlv = (type: number, value: string): Buffer =>
  Buffer.concat([Buffer.of(type, 0, value.length), latin1(value)])

function v2(command: number, family: number, ...block: Buffer[]): Buffer {
  const size = Buffer.alloc(2)
  size.writeUInt16BE(block.reduce((sum, part) => sum + part.length, 0))
  return Buffer.concat([latin1(SIGNATURE), Buffer.of(command, family), size, ...block])
}

/** The answer to ever longer beginnings, as a connection that brings one byte at a time would meet it. */
function byteByByte(bytes: Buffer): { result: ProxyHeaderResult; decidedAt: number } {
  for (let length = 0; length <= bytes.length; length++) {
    const result = parseProxyHeader(Buffer.from(bytes.subarray(0, length)))
    if (result.kind !== 'incomplete') return { result, decidedAt: length }
  }
  return { result: { kind: 'incomplete' }, decidedAt: bytes.length }
}

const VALID: Record<string, Buffer> = {
  'v1 TCP4': latin1('PROXY TCP4 192.0.2.1 198.51.100.10 8080 443\r\n'),
  'v1 TCP4 at the edges': latin1('PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n'),
  'v1 TCP6': latin1('PROXY TCP6 2001:DB8::1 ::ffff:192.0.2.1 1 2\r\n'),
  'v1 TCP6, the longest': latin1(
    `PROXY TCP6 ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535\r\n`,
  ),
  'v1 UNKNOWN': latin1('PROXY UNKNOWN\r\n'),
  'v1 UNKNOWN, the longest': latin1(`PROXY UNKNOWN ${'x '.repeat(45)}y\r\n`),
  'v2 TCP4': v2(0x21, 0x11, IPV4_BLOCK),
  'v2 UDP4': v2(0x21, 0x12, IPV4_BLOCK),
  'v2 TCP6': v2(0x21, 0x21, Buffer.alloc(36, 0x20)),
  'v2 UNIX': v2(0x21, 0x31, Buffer.alloc(216, 0x2f)),
  'v2 UNSPEC with a block': v2(0x21, 0x00, Buffer.alloc(9, 0xff)),
  'v2 LOCAL': v2(0x20, 0x00),
  'v2 LOCAL with a block of no known family': v2(0x20, 0x77, Buffer.alloc(5, 0xff)),
  'v2 with TLVs': v2(
    0x21,
    0x11,
    IPV4_BLOCK,
    tlv(0x02, 'a.example'),
    tlv(0x04, 'pad'),
    tlv(0xea, '\x01vpce-1'),
  ),
  'v2 as long as allowed': v2(0x21, 0x11, IPV4_BLOCK, Buffer.of(4, 0x0f, 0xe1), Buffer.alloc(4065)),
}

/** Each with the number of bytes after which nothing can save it. */
const INVALID: Record<string, readonly [Buffer, number]> = {
  'no signature': [latin1('GET / HTTP/1.1\r\n'), 1],
  'a signature that goes wrong': [latin1('PROXX TCP4'), 5],
  'no space after the signature': [latin1('PROXYTCP4 '), 6],
  'lower case protocol': [latin1('PROXY tcp4 '), 7],
  'another protocol': [latin1('PROXY TCP5 '), 10],
  'two spaces': [latin1('PROXY TCP4  1.2.3.4'), 12],
  'an octet over 255': [latin1('PROXY TCP4 256.'), 14],
  'an octet with a leading zero': [latin1('PROXY TCP4 01.'), 13],
  'five octets': [latin1('PROXY TCP4 1.2.3.4.5'), 19],
  'an IPv6 address in TCP4': [latin1('PROXY TCP4 ::1 '), 12],
  'an IPv4 address in TCP6': [latin1('PROXY TCP6 1.2.3.4 '), 13],
  'two double colons': [latin1('PROXY TCP6 1::2::3'), 17],
  'a group of five digits': [latin1('PROXY TCP6 12345'), 16],
  'a zone': [latin1('PROXY TCP6 fe80::1%eth0'), 19],
  'a port over 65535': [latin1('PROXY TCP4 1.2.3.4 1.2.3.4 65536'), 32],
  'a port with a leading zero': [latin1('PROXY TCP4 1.2.3.4 1.2.3.4 01'), 29],
  'a port with a sign': [latin1('PROXY TCP4 1.2.3.4 1.2.3.4 +1'), 28],
  'a space at the end': [latin1('PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n'), 31],
  'too few words': [latin1('PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n'), 29],
  'a bare LF': [latin1('PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n'), 31],
  'a bare CR': [latin1('PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rX'), 32],
  'a bare LF after UNKNOWN': [latin1('PROXY UNKNOWN x\n'), 16],
  'a word that only begins like UNKNOWN': [latin1('PROXY UNKNOWNS\r\n'), 14],
  'more than 107 bytes': [latin1(`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`), 106],
  'a v2 signature that goes wrong': [latin1('\r\n\r\n\r\n'), 5],
  'version 1 in binary': [latin1(`${SIGNATURE}\x11`), 13],
  'version 3': [latin1(`${SIGNATURE}\x31`), 13],
  'an unknown command': [latin1(`${SIGNATURE}\x22`), 13],
  'an unknown family': [latin1(`${SIGNATURE}\x21\x41`), 14],
  'an unknown transport': [latin1(`${SIGNATURE}\x21\x13`), 14],
  'more than the cap': [latin1(`${SIGNATURE}\x21\x11\x10`), 15],
  'one byte more than the cap': [latin1(`${SIGNATURE}\x20\x00\x0f\xf1`), 16],
  'a block too short for its addresses': [latin1(`${SIGNATURE}\x21\x21\x00\x23`), 16],
  'a TLV that is cut off': [v2(0x21, 0x11, IPV4_BLOCK, Buffer.of(1, 0)), 16],
  'a TLV longer than the header': [v2(0x21, 0x11, IPV4_BLOCK, Buffer.of(1, 0, 2, 0)), 31],
  'a checksum of three bytes': [v2(0x21, 0x11, IPV4_BLOCK, tlv(3, 'abc')), 31],
  'a wrong checksum': [v2(0x21, 0x11, IPV4_BLOCK, tlv(3, 'abcd')), 35],
  'two checksums': [v2(0x21, 0x11, IPV4_BLOCK, tlv(3, 'abcd'), tlv(3, 'abcd')), 38],
}

await test('a valid header is read to its last byte and no further', async t => {
  for (const [name, bytes] of Object.entries(VALID)) {
    const { result, decidedAt } = byteByByte(bytes)
    t.equal(result.kind, 'header', name)
    t.equal(decidedAt, bytes.length, `${name}: length`)
    const followed = parseProxyHeader(
      Buffer.concat([bytes, latin1('\r\nPROXY GET / HTTP/1.1\r\n')]),
    )
    t.same(followed, result, `${name}: with more behind it`)
  }
})

await test('an invalid header is refused at the first byte that cannot be', async t => {
  for (const [name, [bytes, decidedAt]] of Object.entries(INVALID)) {
    const one = byteByByte(bytes)
    t.equal(one.result.kind, 'invalid', name)
    t.equal(one.decidedAt, decidedAt, `${name}: where`)
    t.same(
      parseProxyHeader(Buffer.concat([bytes, Buffer.alloc(5_000)])),
      one.result,
      `${name}: at once`,
    )
  }
})

await test('the addresses are those in the header, in canonical form', async t => {
  t.match(parseProxyHeader(VALID['v1 TCP4'] ?? latin1('')), {
    header: {
      version: 1,
      local: false,
      source: { address: '192.0.2.1', port: 8080 },
      destination: { address: '198.51.100.10', port: 443 },
      tlvs: [],
    },
  })
  t.match(parseProxyHeader(VALID['v1 TCP6'] ?? latin1('')), {
    header: {
      source: { address: '2001:db8::1', port: 1 },
      destination: { address: '192.0.2.1', port: 2 },
    },
  })
  t.match(parseProxyHeader(VALID['v2 TCP4'] ?? latin1('')), {
    header: {
      version: 2,
      source: { address: '192.0.2.1', port: 8080 },
      destination: { address: '198.51.100.10', port: 443 },
    },
  })
  const block = Buffer.from(
    `20010db8${'00'.repeat(11)}01${'00'.repeat(10)}ffffc00002010001ffff`,
    'hex',
  )
  t.match(parseProxyHeader(v2(0x21, 0x21, block)), {
    header: {
      source: { address: '2001:db8::1', port: 1 },
      destination: { address: '192.0.2.1', port: 65_535 },
    },
  })
})

await test('a header that speaks for nobody leaves the addresses of the connection', async t => {
  const nobody = (name: string, local: boolean): void => {
    const result = parseProxyHeader(VALID[name] ?? latin1(''))
    const version = name.startsWith('v1') ? 1 : 2
    const expected = { version, local, tlvs: [], facts: {} }
    t.same(result.kind === 'header' ? result.header : result, expected, name)
  }
  nobody('v1 UNKNOWN', true)
  nobody('v1 UNKNOWN, the longest', true)
  nobody('v2 LOCAL', true)
  nobody('v2 LOCAL with a block of no known family', true)
  nobody('v2 UNSPEC with a block', false)
  nobody('v2 UNIX', false)
})

await test('TLVs come in order, without padding, and outlive the bytes', async t => {
  const bytes = Buffer.from(VALID['v2 with TLVs'] ?? latin1(''))
  const result = parseProxyHeader(bytes)
  bytes.fill(0)
  const tlvs = result.kind === 'header' ? result.header.tlvs : []
  t.same(
    tlvs.map(({ type, value }) => [type, value.toString('latin1')]),
    [
      [0x02, 'a.example'],
      [0xea, '\x01vpce-1'],
    ],
  )
})

await test('a right CRC-32C is taken and any flipped bit is not', async t => {
  const header = v2(0x21, 0x11, IPV4_BLOCK, tlv(3, '\0\0\0\0'), tlv(5, 'id'))
  // Computed with another implementation (bitwise, MSB first, reflected in and out).
  header.writeUInt32BE(crc32cByReflection(header), 16 + 12 + 3)
  t.equal(parseProxyHeader(header).kind, 'header')
  for (let bit = 0; bit < header.length * 8; bit++) {
    const broken = Buffer.from(header)
    broken.writeUInt8(broken.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    // Without a command to relay, or without a checksum in it, the block is not checked.
    const unchecked =
      bit === 12 * 8 || (bit >> 3 === 28 && parseProxyHeader(broken).kind === 'header')
    if (!unchecked) t.not(parseProxyHeader(broken).kind, 'header', `bit ${bit}`)
  }
  t.equal(crc32cByReflection(latin1('123456789')), 0xe3069283, 'check value of CRC-32C')
})

function reflect(value: number, bits: number): number {
  return Number.parseInt(value.toString(2).padStart(bits, '0').split('').toReversed().join(''), 2)
}

/** RFC 4960 appendix B as the polynomial division that it is. */
function crc32cByReflection(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc = (crc ^ (reflect(byte, 8) << 24)) >>> 0
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x80000000 ? 0x1edc6f41 : 0)) >>> 0
  }
  return (reflect(crc, 32) ^ 0xffffffff) >>> 0
}

await test('addresses are read as Node reads them, and written in one way', async t => {
  const piece = fc.constantFrom(
    '0',
    '1',
    '00',
    '25',
    '255',
    '256',
    'ff',
    'ffff',
    '12345',
    ':',
    '::',
    '.',
    ' ',
  )
  const text = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.array(piece, { maxLength: 17 }).map(pieces => pieces.join('')),
  )
  fc.assert(
    fc.property(text, candidate => {
      assert.equal(ipv4Octets(candidate) !== undefined, isIPv4(candidate), candidate)
      const groups = ipv6Groups(candidate)
      assert.equal(groups !== undefined, isIPv6(candidate), candidate)
      if (groups === undefined) return
      const written = formatIpv6(groups)
      if (isIPv6(written))
        assert.equal(`[${written}]`, new URL(`http://[${candidate}]`).hostname, candidate)
      else assert.match(candidate, /ffff:/i, 'only mapped addresses change their family')
    }),
    { seed: seed(t), numRuns: 1_000 },
  )
  t.pass('no counterexample')
})

await test('any bytes have one answer, however they are split', async t => {
  const mutated = fc
    .tuple(
      fc.constantFrom(...Object.values(VALID)),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
    )
    .map(([bytes, changes]) => {
      const copy = Buffer.from(bytes.subarray(0, 300))
      for (const [at, value] of changes) copy.writeUInt8(value, at % copy.length)
      return copy
    })
  const any = fc.oneof(
    mutated,
    fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)),
  )
  fc.assert(
    fc.property(any, bytes => {
      const { result } = byteByByte(bytes)
      assert.deepEqual(parseProxyHeader(bytes), result, bytes.toString('hex'))
      if (result.kind === 'header')
        assert.ok(result.length <= Math.min(bytes.length, MAX_PROXY_HEADER_BYTES))
    }),
    { seed: seed(t), numRuns: 2_000 },
  )
  t.pass('no counterexample')
})

await test('what is called incomplete in version 1 has an end that completes it', async t => {
  const line = fc
    .tuple(fc.constantFrom('TCP4', 'TCP6', 'UNKNOWN'), fc.ipV4(), fc.ipV6(), fc.nat(70_000))
    .map(([protocol, four, six, port]) =>
      `PROXY ${protocol} ${protocol === 'TCP4' ? four : six} `.concat(
        `${protocol === 'TCP4' ? four : six} ${port} ${port}\r\n`,
      ),
    )
  fc.assert(
    fc.property(
      line,
      fc.integer({ min: 1, max: 60 }),
      fc.constantFrom('', ':', '.', '0', 'f', ' ', '\r'),
      (whole, cut, extra) => {
        const begin = whole.slice(0, cut) + extra
        if (parseProxyHeader(latin1(begin)).kind === 'incomplete')
          assert.ok(completable(begin), begin)
      },
    ),
    { seed: seed(t), numRuns: 1_000 },
  )
  t.pass('no counterexample')
})

function completable(begin: string): boolean {
  if (parseProxyHeader(latin1(begin)).kind === 'header') return true
  const next = ['\r\n', '\n', ' ', '0', '.', ':', ...'P R O X Y T C 4 6 U N K W'.split(' ')]
  // Greedy is enough: whatever stays possible and is shorter to finish comes first.
  for (const piece of next) {
    const longer = begin + piece
    const { kind } = parseProxyHeader(latin1(longer))
    if (kind === 'header' || (kind === 'incomplete' && longer.length < 107 && completable(longer)))
      return true
  }
  return false
}

function seed(t: { comment: (text: string) => void }): number {
  const value = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  t.comment(`FUZZ_SEED=${value}`)
  return value
}
