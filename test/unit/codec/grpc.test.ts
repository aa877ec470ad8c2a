import * as fc from 'fast-check'
import { test } from 'tap'
import {
  GRPC_UNKNOWN,
  GrpcMessageCounter,
  grpcMessageText,
  grpcStatusOf,
  isGrpc,
  MAX_GRPC_TIMEOUT_MS,
  parseGrpcTimeout,
} from '../../../src/codec/grpc.ts'
import { percentDecode } from '../../../src/codec/percent.ts'

/** A message as it is sent. */
function message(length: number, flag = 0): Buffer {
  // Bodies of 0xff: read as a prefix, they would be broken at once.
  const bytes = Buffer.alloc(5 + length, 0xff)
  bytes[0] = flag
  bytes.writeUInt32BE(length, 1)
  return bytes
}

function passed(...ranges: readonly Uint8Array[]): GrpcMessageCounter {
  const counter = new GrpcMessageCounter()
  for (const range of ranges) counter.pass(range, 0, range.length)
  return counter
}

await test('gRPC is known by its content-type, and gRPC-Web is not it', t => {
  for (const type of [
    'application/grpc',
    'application/grpc+proto',
    'application/grpc+json',
    'application/grpc;charset=utf-8',
    'application/grpc ; charset=utf-8',
    'Application/GRPC+Proto',
  ])
    t.equal(isGrpc(type), true, type)
  for (const type of [
    '',
    'application/json',
    'application/grp',
    'application/grpc-web',
    'application/grpc-web+proto',
    'application/grpc-web-text',
    'application/grpcx',
    'text/plain; application/grpc',
    ' application/grpc',
    'xpplication/grpc+proto',
  ])
    t.equal(isGrpc(type), false, type)
  t.end()
})

await test('messages are counted when their last octet has passed, at every split point', t => {
  const stream = Buffer.concat([
    message(0),
    message(1),
    message(7, 1),
    message(0),
    message(300),
    message(2),
  ])
  for (let first = 0; first <= stream.length; first++) {
    for (let second = first; second <= stream.length; second += 1 + (second % 3)) {
      const counter = passed(
        stream.subarray(0, first),
        stream.subarray(first, second),
        stream.subarray(second),
      )
      if (counter.count !== 6 || counter.broken) t.fail(`cut at ${first} and ${second}`)
    }
  }
  const octets = Array.from(stream, (_, at) => stream.subarray(at, at + 1))
  t.equal(passed(...octets).count, 6, 'octet by octet')
  t.equal(passed(stream.subarray(0, -1)).count, 5, 'the last one is not whole')
  t.end()
})

await test('it is known whether a message is on its way', t => {
  const counter = new GrpcMessageCounter()
  t.equal(counter.between, true)
  for (const octet of message(3)) {
    counter.pass(Buffer.of(octet), 0, 1)
    t.equal(counter.between, counter.count === 1)
  }
  t.end()
})

await test('of a range only what lies between its ends is looked at', t => {
  const counter = new GrpcMessageCounter()
  const bytes = Buffer.concat([Buffer.from([9, 9]), message(3), Buffer.from([9, 9])])
  counter.pass(bytes, 2, bytes.length - 2)
  counter.pass(bytes, 4, 4)
  t.match({ count: counter.count, broken: counter.broken }, { count: 1, broken: false })
  t.end()
})

await test('a flag that is neither 0 nor 1 ends the counting, and nothing else', t => {
  for (const flag of [2, 3, 0x50, 0x80, 0xff]) {
    const counter = passed(message(2), message(2, flag), message(2))
    t.match({ count: counter.count, broken: counter.broken }, { count: 1, broken: true })
    counter.reset()
    counter.pass(message(2), 0, 7)
    t.match({ count: counter.count, broken: counter.broken }, { count: 1, broken: false }, 'reset')
  }
  t.end()
})

await test('a length is 32 bits without a sign', t => {
  const prefix = Buffer.from([0, 0xff, 0xff, 0xff, 0xff])
  const piece = Buffer.alloc(2 ** 20, 1)
  const counter = passed(prefix)
  for (let passedOctets = 0; passedOctets < 2 ** 32 - 2 ** 20; passedOctets += piece.length)
    counter.pass(piece, 0, piece.length)
  counter.pass(piece, 0, piece.length - 2)
  t.equal(counter.count, 0, 'one octet before its end')
  counter.pass(piece, 0, 1)
  t.equal(counter.count, 1, 'at its end')
  t.end()
})

await test('any messages, cut anywhere, are as many as they are', t => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat({ max: 70_000 }), fc.nat({ max: 1 })), { maxLength: 20 }),
      fc.array(fc.nat({ max: 20_000 }), { maxLength: 50 }),
      (messages, cuts) => {
        const stream = Buffer.concat(messages.map(([length, flag]) => message(length, flag)))
        const counter = new GrpcMessageCounter()
        let at = 0
        for (const cut of cuts) {
          const end = Math.min(stream.length, at + cut)
          counter.pass(stream, at, end)
          at = end
        }
        counter.pass(stream, at, stream.length)
        return counter.count === messages.length && !counter.broken
      },
    ),
  )
  t.pass('holds')
  t.end()
})

await test('anything at all is counted without a throw, and cuts change nothing', t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat({ max: 400 }), (bytes, cut) => {
      const whole = passed(bytes)
      const halves = passed(bytes.subarray(0, cut), bytes.subarray(cut))
      return whole.count === halves.count && whole.broken === halves.broken
    }),
    { numRuns: 2_000 },
  )
  t.pass('holds')
  t.end()
})

await test('a grpc-timeout is one to eight digits and a unit', t => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['10S', 10_000],
    ['250m', 250],
    ['3000u', 3],
    ['3001u', 4],
    ['1u', 1],
    ['1n', 1],
    ['5000000n', 5],
    ['5000001n', 6],
    ['99999999n', 100],
    ['99999999u', 100_000],
    ['99999999S', MAX_GRPC_TIMEOUT_MS],
    ['99999999H', MAX_GRPC_TIMEOUT_MS],
    ['0S', 1],
    ['00000001S', 1_000],
    ['', undefined],
    ['S', undefined],
    ['10', undefined],
    ['123456789n', undefined],
    ['1s', undefined],
    ['1h', undefined],
    ['1U', undefined],
    ['-1S', undefined],
    ['+1S', undefined],
    ['1.5S', undefined],
    ['1e3S', undefined],
    ['0x1S', undefined],
    [' 1S', undefined],
    ['1S ', undefined],
    ['1S\n', undefined],
    ['1 S', undefined],
    ['1SS', undefined],
    ['١S', undefined],
  ]
  for (const [value, ms] of cases) t.equal(parseGrpcTimeout(value), ms, JSON.stringify(value))
  for (let ms = 1; ms < 100_000; ms += 7)
    if (parseGrpcTimeout(`${ms * 1_000}u`) !== ms) t.fail(`${ms} ms in microseconds`)
  t.end()
})

await test('a grpc-message is percent-encoded as gRPC wants it', t => {
  t.equal(grpcMessageText(''), '')
  t.equal(grpcMessageText('plain ~!"#$&'), 'plain ~!"#$&')
  t.equal(grpcMessageText('100%'), '100%25')
  t.equal(grpcMessageText('ü\r\n\u007f\u0000'), '%C3%BC%0D%0A%7F%00')
  t.equal(grpcMessageText('\ud800'), '%EF%BF%BD', 'half a surrogate pair')
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), text => {
      const encoded = grpcMessageText(text)
      const decoded = percentDecode(encoded) ?? ''
      return /^[ -~]*$/.test(encoded) && Buffer.from(decoded, 'latin1').toString() === text
    }),
  )
  t.end()
})

await test('a status that is none is UNKNOWN', t => {
  for (let status = 0; status <= 16; status++) t.equal(grpcStatusOf(`${status}`), status)
  t.equal(grpcStatusOf('00'), 0)
  for (const wrong of [undefined, '', '17', '-1', '1.0', 'OK', ' 0', '0 ', '0x1', '1'.repeat(99)])
    t.equal(grpcStatusOf(wrong), GRPC_UNKNOWN, `${wrong}`)
  t.end()
})
