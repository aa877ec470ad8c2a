import { test } from 'tap'
import type { LoggedCall, LoggedConnection } from '../../../src/proxy/access-log/access-log.ts'
import { callText, connectionText, quoted } from '../../../src/proxy/access-log/line.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

const CALL: LoggedCall = {
  code: '',
  flag: '-',
  status: 200,
  grpcStatus: undefined,
  operation: 'read',
  method: 'GET',
  host: 'acme.test',
  path: '/',
  protocol: 'HTTP/1.1',
  requestId: 'r-1',
  trace: '0af7651916cd43dd8448eb211c80319c',
  connection: 'c-1',
  tenant: 'acme',
  listener: 'public',
  routability: 'l7',
  peer: '127.0.0.1',
  credential: '',
  ingress: 1,
  egress: 2,
  durationMs: 3.000_4,
  upstream: '127.0.0.1:1',
  waitMs: 1,
  upstreamMs: 2,
}

const CONNECTION: LoggedConnection = {
  code: 'tls_handshake_failed',
  flag: 'DPE',
  reason: 'not_tls',
  protocol: '',
  connection: '',
  tenant: '',
  listener: 'public',
  routability: 'unroutable',
  peer: '2001:db8::1',
  credential: ',"credential":"jwt","credentialId":"x"',
  ingress: 0,
  egress: 0,
  durationMs: 1,
  calls: 0,
  upstream: '',
}

const read = (text: string): Record<string, unknown> =>
  JSON.parse(`{${text}}`) as Record<string, unknown>

await test('a line is JSON with every field', async t => {
  const { grpcStatus: _, credential: __, ...fields } = CALL
  t.same(read(callText(CALL)), { kind: 'call', ...fields, durationMs: 3 })
  t.equal(read(callText({ ...CALL, grpcStatus: 5 })).grpcStatus, 5)
  const { credential: ___, ...connection } = CONNECTION
  t.same(read(connectionText(CONNECTION)), {
    kind: 'connection',
    ...connection,
    credential: 'jwt',
    credentialId: 'x',
  })
})

await test('whatever text a peer sends is read as that text, or as its beginning', async t => {
  const random = new SeededRandom(8)
  const characters = '"\\\n\r\t\0\x1b\x7f\xe9\u2028\ud800{}[]:,ab/ '
  for (let round = 0; round < 2_000; round++) {
    const length = random.below(400)
    let text = ''
    while (text.length < length) text += characters[random.below(characters.length)]
    const line = quoted(text)
    if (!/^[ -~]*$/.test(line) || line.length > 1_100) t.fail(line)
    const back = JSON.parse(line) as string
    if (back !== text && back !== `${text.slice(0, back.length - 3)}...`) t.fail(line)
  }
  t.pass('all of them')
})

await test('no line is longer than what a pipe takes in one piece', async t => {
  const worst = '\x01'.repeat(20_000)
  const long = 'x'.repeat(20_000)
  for (const text of [worst, long]) {
    const line = callText({ ...CALL, method: text, host: text, path: text })
    t.ok(line.length < 4_000, String(line.length))
  }
})
