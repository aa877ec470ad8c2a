import { test } from 'tap'
import {
  healthCheckRequest,
  MAX_HEALTH_ANSWER,
  SERVING,
  servingStatusOf,
} from '../../../src/codec/grpc-health.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

/** A message of gRPC around `message`, in hexadecimal. */
function answer(message: string, flag = 0): Buffer {
  const octets = Buffer.from(message, 'hex')
  const prefix = Buffer.alloc(5)
  prefix[0] = flag
  prefix.writeUInt32BE(octets.length, 1)
  return Buffer.concat([prefix, octets])
}

await test('a request names a service, and the server as a whole by nothing', t => {
  t.equal(healthCheckRequest('').toString('hex'), '0000000000')
  t.equal(healthCheckRequest('a.B').toString('hex'), '00000000050a03612e42')
  const long = healthCheckRequest('x'.repeat(200))
  t.equal(long.subarray(0, 8).toString('hex'), '00000000cb0ac801', 'a length of two octets')
  t.equal(long.length, 5 + 3 + 200)
  t.end()
})

await test('the status is field 1, whatever else is in the message', t => {
  const cases: Record<string, number | undefined> = {
    '': 0,
    '0800': 0,
    '0801': SERVING,
    '0802': 2,
    '0803': 3,
    // -1 as protobuf writes it, and a number of more octets than it takes.
    '08ffffffffffffffffff01': 2 ** 64,
    '08818000': SERVING,
    // The last one counts.
    '08010802': 2,
    '08020801': SERVING,
    // Fields that are not known, of each kind.
    '1005 0801': SERVING,
    '110102030405060708 0801': SERVING,
    '0801 1203616263': SERVING,
    '1501020304 0801': SERVING,
    'a80605 0801': SERVING,
  }
  for (const [message, status] of Object.entries(cases))
    t.equal(servingStatusOf(answer(message.replaceAll(' ', ''))), status, message)
  t.end()
})

await test('what is no such message has no status', t => {
  const malformed = [
    '08',
    '0880',
    '08ffffffffffffffffffff01',
    // Field 1 of another kind, field 0, groups, a kind that does not exist.
    '0a0101',
    '0901020304050607 08',
    '0d01020304',
    '0001',
    '1308010c',
    '0b0c',
    '0f01',
    // Lengths beyond the end.
    '0801 12ff',
    '0801 1204616263',
    '0801 12ffffffffffffffff7f',
    '0801 1501',
    '0801 1101',
  ]
  for (const message of malformed)
    t.equal(servingStatusOf(answer(message.replaceAll(' ', ''))), undefined, message)
  const whole = answer('0801')
  t.equal(servingStatusOf(whole), SERVING)
  for (let end = 0; end < whole.length; end++)
    t.equal(servingStatusOf(whole.subarray(0, end)), undefined, `cut at ${end}`)
  t.equal(servingStatusOf(Buffer.concat([whole, whole])), undefined, 'two messages')
  t.equal(servingStatusOf(answer('0801', 1)), undefined, 'compressed')
  t.equal(servingStatusOf(answer('0801', 0x80)), undefined, 'trailers of gRPC-Web')
  t.equal(servingStatusOf(Buffer.from('00ffffffff0801', 'hex')), undefined, 'a length of 4 GiB')
  t.equal(
    servingStatusOf(answer(`0801${'1000'.repeat(MAX_HEALTH_ANSWER / 2)}`)),
    undefined,
    'longer than anybody needs',
  )
  t.end()
})

await test('whatever comes, it ends, throws nothing, and is a status or none', t => {
  const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
  t.comment(`seed ${seed}`)
  const random = new SeededRandom(seed)
  let read = 0
  for (let round = 0; round < 20_000; round++) {
    const message = Buffer.alloc(random.below(40))
    // Octets that mean something come more often than the others.
    for (let at = 0; at < message.length; at++)
      message[at] = random.chance(0.5) ? random.below(256) : random.pick([0x08, 0x01, 0x12, 0x80])
    const status = servingStatusOf(answer(message.toString('hex')))
    if (status !== undefined) read++
    if (status !== undefined && !(status >= 0 && status <= 2 ** 70)) t.fail(message.toString('hex'))
  }
  t.ok(read > 100 && read < 20_000, `${read} of them were messages`)
  t.end()
})
