import { test } from 'tap'
import {
  type PostgresRequest,
  readPostgresRequest,
  SSL_REQUEST,
} from '../../../src/codec/postgres-request.ts'

const GSS_REQUEST = Buffer.from([0, 0, 0, 8, 4, 0xd2, 0x16, 0x30])

await test('the requests of the documentation are told at their eighth byte, and nothing else is', t => {
  t.same(SSL_REQUEST, Buffer.from([0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]))
  t.equal(SSL_REQUEST.readInt32BE(4), 80_877_103)
  t.equal(GSS_REQUEST.readInt32BE(4), 80_877_104)
  for (const [request, expected] of [
    [SSL_REQUEST, 'ssl'],
    [GSS_REQUEST, 'gss'],
  ] as const) {
    for (let length = 0; length < request.length; length++)
      t.equal(readPostgresRequest(request.subarray(0, length)), 'more')
    t.equal(readPostgresRequest(request), expected)
    t.equal(readPostgresRequest(Buffer.concat([request, Buffer.of(0)])), expected)
    for (let at = 0; at < request.length; at++) {
      const other = Buffer.from(request)
      other[at] = 0x77
      const expectedOfOther: PostgresRequest = 'other'
      t.equal(readPostgresRequest(other), expectedOfOther, `another byte at ${at}`)
    }
  }
  // CancelRequest, and StartupMessage of protocol 3.0.
  t.equal(readPostgresRequest(Buffer.from('0000001004d2162e', 'hex')), 'other')
  t.equal(readPostgresRequest(Buffer.from('0000002900030000', 'hex')), 'other')
  t.end()
})
