import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { test } from 'tap'
import {
  ClientHelloReader,
  type HelloResult,
  MAX_CLIENT_HELLO_BYTES,
  MAX_CLIENT_HELLO_RAW_BYTES,
} from '../../../src/codec/client-hello.ts'
import {
  extension,
  handshakeRecord,
  helloFor,
  helloLikeChrome,
  helloMessage,
  inRecords,
  protocolsExtension,
  RECORDED_HELLOS,
  serverNameExtension,
  u16,
  vector,
} from '../../support/client-hellos.ts'

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')

/** The answer in plain values, so that two can be compared. */
type Plain =
  | 'more'
  | { fault: string }
  | { name: string; alpn: string[]; tls: number[]; ech: boolean }

function plain(result: HelloResult): Plain {
  if (result.kind === 'more') return 'more'
  if (result.kind === 'invalid') return { fault: result.fault }
  const { serverName, protocols, versions, encrypted } = result.hello
  return { name: serverName, alpn: protocols, tls: versions, ech: encrypted }
}

function readWhole(bytes: Buffer): Plain {
  return plain(new ClientHelloReader().push(bytes))
}

/** What the last of the pieces led to; each is a copy, as from a socket. */
function readPieces(pieces: readonly Buffer[]): Plain {
  const reader = new ClientHelloReader()
  let result: HelloResult = { kind: 'more' }
  for (const piece of pieces) result = reader.push(Buffer.from(piece))
  assert.deepEqual(reader.bytes, Buffer.concat(pieces), 'keeps every byte')
  return plain(result)
}

function inBytes(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))
}

/** A second reading, naive on purpose: the whole message at once, no caps, valid ones only. */
function naiveServerName(bytes: Buffer): string {
  const fragments: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 5 + bytes.readUInt16BE(at + 3))
    fragments.push(bytes.subarray(at + 5, at + 5 + bytes.readUInt16BE(at + 3)))
  const message = Buffer.concat(fragments)
  let at = 4 + 2 + 32
  at += 1 + message.readUInt8(at)
  at += 2 + message.readUInt16BE(at)
  at += 1 + message.readUInt8(at)
  const end = at + 2 + message.readUInt16BE(at)
  for (at += 2; at < end; at += 4 + message.readUInt16BE(at + 2))
    if (message.readUInt16BE(at) === 0)
      return message.toString('latin1', at + 9, at + 9 + message.readUInt16BE(at + 7))
  return ''
}

await test('reads what openssl, curl and node have sent', t => {
  for (const { from, bytes, serverName, protocols, versions } of RECORDED_HELLOS) {
    const expected = { name: serverName, alpn: protocols, tls: versions, ech: false }
    t.same(readWhole(bytes), expected, from)
  }
  t.end()
})

await test('the answer is the same at every split point', t => {
  const hellos = [...RECORDED_HELLOS.map(({ bytes }) => bytes), helloLikeChrome('outer.test')]
  for (const bytes of hellos) {
    const whole = readWhole(bytes)
    for (let at = 1; at < bytes.length; at++) {
      const reader = new ClientHelloReader()
      if (plain(reader.push(Buffer.from(bytes.subarray(0, at)))) !== 'more')
        t.fail(`early at ${at}`)
      const rest = plain(reader.push(Buffer.from(bytes.subarray(at))))
      assert.deepEqual(rest, whole, `cut at ${at}`)
    }
    t.same(readPieces(inBytes(bytes)), whole, 'byte by byte')
  }
  t.end()
})

await test('several records may carry one message, cut anywhere, one byte each too', t => {
  for (const { bytes, from } of RECORDED_HELLOS) {
    const message = bytes.subarray(5)
    const whole = readWhole(bytes)
    for (let at = 1; at < message.length; at++)
      assert.deepEqual(readWhole(inRecords(message, at)), whole, `records cut at ${at}`)
    const tiny = inRecords(message, ...Array.from(message, () => 1))
    t.equal(tiny.length, 6 * message.length)
    t.same(readWhole(tiny), whole, from)
    t.same(readPieces(inBytes(tiny)), whole, `${from}, byte by byte`)
  }
  t.end()
})

await test('GREASE is left out, and ECH is told with its outer name', t => {
  t.same(readWhole(helloLikeChrome('public.example')), {
    name: 'public.example',
    alpn: ['h2', 'http/1.1'],
    tls: [0x0304, 0x0303],
    ech: true,
  })
  t.end()
})

await test('what follows the message is kept, and is not read', t => {
  const hello = helloFor('acme.test')
  const early = latin1('\x17\x03\x03\x00\x03abc')
  const reader = new ClientHelloReader()
  const bytes = Buffer.concat([hello, early])
  t.equal(reader.push(bytes).kind, 'hello')
  reader.push(latin1('more'))
  t.same(reader.bytes, Buffer.concat([bytes, latin1('more')]))
  const message = helloMessage({ extensions: [serverNameExtension('a.test')] })
  t.match(readWhole(handshakeRecord(Buffer.concat([message, message]))), { name: 'a.test' })
  t.end()
})

await test('a ClientHello without extensions names nobody', t => {
  t.same(readWhole(inRecords(helloMessage({ legacyVersion: 0x0301 }))), {
    name: '',
    alpn: [],
    tls: [0x0301],
    ech: false,
  })
  t.match(readWhole(inRecords(helloMessage({ extensions: [] }))), { name: '' })
  t.end()
})

await test('what is no ClientHello is refused with its reason, at the first byte that shows it', t => {
  const cases: readonly [string, Buffer | string, decidedAt: number][] = [
    ['not_tls', 'GET / HTTP/1.1\r\n\r\n', 1],
    ['not_tls', '\x00\x00\x00\x08', 1],
    ['not_tls', '\x15\x03\x01\x00\x02', 1],
    ['not_tls', '\x16\x02\x00', 2],
    ['not_tls', '\xff\xff\xff', 3],
    ['sslv2', '\x80\x2e\x01\x03\x01\x00\x15', 3],
    ['malformed', '\x16\x03\x01\x00\x00\x16\x03\x01', 5],
    ['malformed', '\x16\x03\x01\x40\x01\x01', 5],
    ['not_client_hello', '\x16\x03\x01\x00\x40\x02\x00', 6],
    ['malformed', inRecords(latin1('\x01\x00\x00\x01x')), 10],
  ]
  for (const [fault, input, decidedAt] of cases) {
    const bytes = typeof input === 'string' ? latin1(input) : input
    t.same(readWhole(bytes), { fault }, fault)
    for (let length = 0; length <= bytes.length; length++) {
      const expected = length < decidedAt ? 'more' : { fault }
      assert.deepEqual(readWhole(bytes.subarray(0, length)), expected, `${fault} at ${length}`)
    }
  }
  t.end()
})

await test('another record between those of the message is refused', t => {
  const message = helloMessage({ extensions: [serverNameExtension('acme.test')] })
  const first = handshakeRecord(message.subarray(0, 20))
  const last = handshakeRecord(message.subarray(20))
  for (const between of ['\x14\x03\x03\x00\x01\x01', '\x15\x03\x01\x00\x02\x01\x00', 'GET'])
    t.same(readWhole(Buffer.concat([first, latin1(between), last])), { fault: 'malformed' })
  t.end()
})

const name = serverNameExtension
const BROKEN: Readonly<Record<string, Buffer>> = {
  'an odd list of suites': helloMessage({ suites: Buffer.alloc(3), extensions: [] }),
  'no suites': helloMessage({ suites: Buffer.alloc(0), extensions: [] }),
  'no compression': helloMessage({ compressions: Buffer.alloc(0), extensions: [] }),
  'a session id of 33 bytes': helloMessage({ sessionId: Buffer.alloc(33), extensions: [] }),
  'another major version': helloMessage({ legacyVersion: 0x0203, extensions: [] }),
  'bytes behind the extensions': helloMessage({ extensions: [], tail: Buffer.of(0) }),
  'one byte of extensions': helloMessage({ tail: Buffer.of(0) }),
  'an extension cut short': helloMessage({ extensions: [Buffer.of(0, 1, 0, 5, 1)] }),
  'half an extension header': helloMessage({ extensions: [Buffer.of(0, 1, 0)] }),
  'two server names': helloMessage({ extensions: [name('a.test'), name('b.test')] }),
  'the same server name twice': helloMessage({ extensions: [name('a.test'), name('a.test')] }),
  'a list of two names': helloMessage({
    extensions: [extension(0, vector(2, '\0', vector(2, 'a.test'), '\0', vector(2, 'b.test')))],
  }),
  'a name of another type': helloMessage({
    extensions: [extension(0, vector(2, '\x01', vector(2, 'a')))],
  }),
  'an empty name': helloMessage({ extensions: [name('')] }),
  'an empty list of names': helloMessage({ extensions: [extension(0, vector(2))] }),
  'an empty server_name': helloMessage({ extensions: [extension(0)] }),
  'bytes behind the name': helloMessage({
    extensions: [extension(0, vector(2, '\0', vector(2, 'a.test'), 'x'))],
  }),
  'bytes behind the list of names': helloMessage({
    extensions: [extension(0, vector(2, '\0', vector(2, 'a.test')), 'x')],
  }),
  'a NUL in the name': helloMessage({ extensions: [name('a.test\0.b.test')] }),
  'a name of 256 bytes': helloMessage({ extensions: [name('a'.repeat(256))] }),
  'an empty list of protocols': helloMessage({ extensions: [extension(16, vector(2))] }),
  'an empty protocol': helloMessage({ extensions: [protocolsExtension('')] }),
  'a protocol cut short': helloMessage({ extensions: [extension(16, vector(2, '\x05h2'))] }),
  'protocols twice': helloMessage({
    extensions: [protocolsExtension('h2'), protocolsExtension('h2')],
  }),
  'an odd list of versions': helloMessage({ extensions: [extension(43, vector(1, 'abc'))] }),
  'no versions': helloMessage({ extensions: [extension(43, vector(1))] }),
  'versions twice': helloMessage({
    extensions: [extension(43, vector(1, u16(0x0304))), extension(43, vector(1, u16(0x0303)))],
  }),
  'ECH twice': helloMessage({ extensions: [extension(0xfe0d, 'x'), extension(0xfe0d, 'y')] }),
}

await test('a message that could be read in two ways is refused', t => {
  for (const [what, message] of Object.entries(BROKEN)) {
    t.same(readWhole(inRecords(message)), { fault: 'malformed' }, what)
    t.same(readPieces(inBytes(inRecords(message, 3, 1, 40))), { fault: 'malformed' }, what)
  }
  t.same(readWhole(helloFor('a'.repeat(255))), {
    name: 'a'.repeat(255),
    alpn: [],
    tls: [0x0303],
    ech: false,
  })
  t.end()
})

await test('message and records are capped, and what waits is never more than the cap', t => {
  const padded = (size: number): Buffer => {
    const bare = helloMessage({ extensions: [extension(21)] }).length
    return helloMessage({ extensions: [extension(21, Buffer.alloc(size - bare))] })
  }
  t.match(readWhole(inRecords(padded(MAX_CLIENT_HELLO_BYTES))), { name: '' })
  t.same(readWhole(inRecords(padded(MAX_CLIENT_HELLO_BYTES + 1), 16_000)), { fault: 'too_long' })
  const huge = latin1(`\x01\xff\xff\xff${'x'.repeat(60)}`)
  t.same(readWhole(inRecords(huge)), { fault: 'too_long' })
  // One byte a record: the headers are what is too long.
  const tiny = inRecords(padded(12_000), ...Array.from({ length: 12_000 }, () => 1))
  t.same(readWhole(tiny), { fault: 'too_long' })
  const reader = new ClientHelloReader()
  let pushed = 0
  while (reader.push(tiny.subarray(pushed, pushed + 1)).kind === 'more') pushed += 1
  t.ok(pushed <= MAX_CLIENT_HELLO_RAW_BYTES, `${pushed} bytes`)
  t.end()
})

await test('agrees with a naive reading, whatever the extensions are and however they are cut', t => {
  const anyExtension = fc
    .tuple(
      fc.integer({ min: 1, max: 0xffff }).filter(type => ![16, 43, 0xfe0d].includes(type)),
      fc.uint8Array({ maxLength: 60 }),
    )
    .map(([type, body]) => extension(type, Buffer.from(body)))
  const hostName = fc.stringMatching(/^[A-Za-z0-9.-]{1,60}$/)
  const hello = fc.record({
    before: fc.array(anyExtension, { maxLength: 5 }),
    name: fc.option(hostName, { nil: undefined }),
    after: fc.array(anyExtension, { maxLength: 5 }),
    records: fc.array(fc.integer({ min: 1, max: 80 }), { maxLength: 8 }),
    cuts: fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 20 }),
  })
  fc.assert(
    fc.property(hello, ({ before, name: asked, after, records, cuts }) => {
      const names = asked === undefined ? [] : [serverNameExtension(asked)]
      const message = helloMessage({ extensions: [...before, ...names, ...after] })
      const bytes = inRecords(message, ...records)
      const pieces: Buffer[] = []
      let at = 0
      for (const cut of cuts) {
        pieces.push(bytes.subarray(at, at + cut))
        at += cut
      }
      pieces.push(bytes.subarray(at))
      const result = readPieces(pieces)
      assert.deepEqual(result, readWhole(bytes))
      assert.equal((result as { name: string }).name, naiveServerName(bytes))
      assert.equal(naiveServerName(bytes), asked ?? '')
    }),
    { numRuns: 2_000 },
  )
  for (const { bytes, serverName } of RECORDED_HELLOS) t.equal(naiveServerName(bytes), serverName)
  t.end()
})

await test('damaged messages are read the same however they are cut, and never throw', t => {
  const bases = [...RECORDED_HELLOS.map(({ bytes }) => bytes), helloLikeChrome('outer.test')]
  const damage = fc.record({
    base: fc.constantFrom(...bases),
    flips: fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 4 }),
    cut: fc.nat(600),
    length: fc.integer({ min: 0, max: 2_000 }),
  })
  fc.assert(
    fc.property(damage, ({ base, flips, cut, length }) => {
      const bytes = Buffer.from(base.subarray(0, length))
      for (const [at, value] of flips) if (at < bytes.length) bytes[at] = value
      const whole = readWhole(bytes)
      assert.deepEqual(readPieces([bytes.subarray(0, cut), bytes.subarray(cut)]), whole)
      assert.deepEqual(readPieces(inBytes(bytes)), whole)
    }),
    { numRuns: 2_000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
      assert.deepEqual(readPieces(inBytes(Buffer.from(bytes))), readWhole(Buffer.from(bytes)))
    }),
    { numRuns: 2_000 },
  )
  t.end()
})
