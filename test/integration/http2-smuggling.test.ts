/**
 * Nothing is smuggled where HTTP/2 becomes HTTP/1.1, HTTP/1.1 becomes HTTP/2, or HTTP/2 is read and written anew. Of a message
 * that is refused the deployment sees nothing; what is not refused, it sees in one way only. Deployments judge strictly, and
 * by other code than the proxy's.
 */

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { t as file, type Test, test } from 'tap'
import { DATA, END_STREAM, PROTOCOL_ERROR, SETTINGS } from '../../src/codec/http2/frame.ts'
import type { AttackPeer, HeardStream } from '../support/http2/attack-peer.ts'
import { connectAttacker, startFrameDeployment } from '../support/http2/attacker.ts'
import { frame } from '../support/http2/frames.ts'
import { headers, type Pair, requestPairs } from '../support/http2/raw-fields.ts'
import { RecordingFrameDeployment } from '../support/http2/recording-deployment.ts'
import { RawClient } from '../support/raw-client.ts'
import { type RecordingDeployment, recordingDeployment } from '../support/raw-peer.ts'
import { type RunningProxy, startProxy } from '../support/start-proxy.ts'
import { readStrictAnswer } from '../support/strict-http1.ts'

file.setTimeout(300_000)

const PLAIN = 'plain.test'
const FRAMED = 'framed.test'
const HOSTS = [PLAIN, FRAMED] as const

interface World {
  readonly proxy: RunningProxy
  readonly plain: RecordingDeployment
  readonly framed: RecordingFrameDeployment
}

async function world(t: Test): Promise<World> {
  const plain = await recordingDeployment()
  const framed = await RecordingFrameDeployment.start(t)
  const proxy = await startProxy({
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    tenants: [
      {
        id: 'plain',
        hosts: [PLAIN],
        deployment: { endpoints: [`http://127.0.0.1:${plain.port}`] },
      },
      {
        id: 'framed',
        hosts: [FRAMED],
        deployment: { endpoints: [`h2c://127.0.0.1:${framed.port}`] },
      },
    ],
  })
  t.teardown(async () => {
    await proxy.close()
    await plain.close()
  })
  return { proxy, plain, framed }
}

function attacker(t: Test, { proxy }: World): Promise<AttackPeer> {
  return connectAttacker(t, { port: proxy.port('public') })
}

/** What a refusal looks like from the client: a status, a reset of the stream, or the end of the connection. */
function refusalOf(peer: AttackPeer, { status, reset }: HeardStream): string {
  if (status !== 0) return String(status)
  if (reset !== undefined) return `reset ${reset}`
  return peer.goaway === undefined ? 'none' : `GOAWAY ${peer.goaway}`
}

const REFUSED = /^(4\d\d|501|reset 1|GOAWAY \d+)$/

type Smuggle = (host: string) => Buffer

/** A request with some fields more. */
const field =
  (name: string, value: string): Smuggle =>
  host =>
    headers(1, requestPairs(host, {}, [[name, value]]))
/** A request of just these fields; `host` stands for that of the tenant. */
const exactly =
  (...pairs: Pair[]): Smuggle =>
  host =>
    headers(
      1,
      pairs.map(([name, value]) => [name, value.replaceAll('HOST', host)] as const),
    )
/** One pseudo-header field says something else. */
const pseudo =
  (name: string, value: string): Smuggle =>
  host =>
    headers(
      1,
      requestPairs(host).map(pair =>
        pair[0] === name ? [name, value.replaceAll('HOST', host)] : pair,
      ),
    )
const post = (more: readonly Pair[], ...behind: Buffer[]): Smuggle => {
  return host =>
    Buffer.concat([
      headers(1, requestPairs(host, { method: 'POST' }, more), {
        endStream: behind.length === 0,
      }),
      ...behind,
    ])
}
const body = (text: string): Buffer => frame(DATA, 1, text, END_STREAM)
/** A body, and behind it these trailers. */
const trailers = (...pairs: Pair[]): Smuggle => post([], frame(DATA, 1, 'body'), headers(1, pairs))

const METHOD: Pair = [':method', 'GET']
const SCHEME: Pair = [':scheme', 'http']
const AUTHORITY: Pair = [':authority', 'HOST']
const PATH: Pair = [':path', '/']
const SECOND = 'GET /smuggled HTTP/1.1\r\nhost: plain.test\r\n\r\n'
const CONTROLS = Array.from({ length: 32 }, (_, code) => code)
  .filter(code => code !== 9)
  .concat(0x7f)
const hex = (code: number): string => code.toString(16).padStart(2, '0')

const EMPTY_BUT_NOT = 'less content-length than body (h2.CL)'

const REFUSED_MESSAGES: Readonly<Record<string, Smuggle>> = {
  // Names and values.
  'a line feed in a value': field('x-a', 'b\nx-smuggled: 1'),
  'a carriage return in a value': field('x-a', 'b\rx-smuggled: 1'),
  'a line of its own in a value': field('x-a', 'b\r\nx-smuggled: 1'),
  'a whole request in a value': field('x-a', `b\r\n\r\n${SECOND}`),
  'NUL in a value': field('x-a', 'b\0c'),
  ...Object.fromEntries(
    CONTROLS.map(code => [
      `octet 0x${hex(code)} in a value`,
      field('x-a', `b${String.fromCharCode(code)}c`),
    ]),
  ),
  'a blank before a value': field('x-a', ' b'),
  'a blank behind a value': field('x-a', 'b '),
  'a tab before a value': field('x-a', '\tb'),
  'a line feed in a name': field('x-a\nx-b', '1'),
  'a line of its own in a name': field('x-a: b\r\ntransfer-encoding: chunked\r\nx-c', '1'),
  'a colon in a name': field('x-a:b', '1'),
  'a colon behind a name': field('transfer-encoding:', 'chunked'),
  'a blank in a name': field('x a', '1'),
  'a blank before a name': field(' transfer-encoding', 'chunked'),
  'a blank behind a name': field('transfer-encoding ', 'chunked'),
  'NUL in a name': field('x-a\0', '1'),
  'an octet above ASCII in a name': field('x-\xe4', '1'),
  'an empty name': field('', '1'),
  'a name in upper case': field('X-A', '1'),
  'one letter in upper case': field('transfer-Encoding', 'chunked'),
  // Pseudo-header fields.
  'a line in :path': pseudo(':path', '/ HTTP/1.1\r\nx-smuggled: 1\r\nx-a: '),
  'a request in :path': pseudo(':path', `/ HTTP/1.1\r\nhost: HOST\r\n\r\n${SECOND}`),
  'a line feed in :path': pseudo(':path', '/\n'),
  'a blank in :path': pseudo(':path', '/a b'),
  'a version in :path': pseudo(':path', '/ HTTP/1.0'),
  'a tab in :path': pseudo(':path', '/a\tb'),
  'NUL in :path': pseudo(':path', '/a\0'),
  'a fragment in :path': pseudo(':path', '/a#b'),
  'an octet above ASCII in :path': pseudo(':path', '/\xe4'),
  'an empty :path': pseudo(':path', ''),
  'a :path without a slash': pseudo(':path', 'a'),
  'an absolute :path': pseudo(':path', 'http://HOST/'),
  'an absolute :path of another host': pseudo(':path', 'http://elsewhere.test/'),
  'a host as :path': pseudo(':path', 'HOST:80'),
  'an asterisk as :path of GET': pseudo(':path', '*'),
  'a line in :method': pseudo(':method', 'GET / HTTP/1.1\r\nx-smuggled: 1\r\n\r\nGET'),
  'a blank in :method': pseudo(':method', 'GET /smuggled'),
  'an empty :method': pseudo(':method', ''),
  'a :method that goes on': pseudo(':method', 'G'.repeat(100)),
  'a colon in :method': pseudo(':method', 'GET:'),
  'a line in :authority': pseudo(':authority', 'HOST\r\nx-smuggled: 1'),
  'a blank in :authority': pseudo(':authority', 'HOST elsewhere.test'),
  'a user in :authority': pseudo(':authority', 'user@HOST'),
  'a path in :authority': pseudo(':authority', 'HOST/'),
  'a comma in :authority': pseudo(':authority', 'HOST, elsewhere.test'),
  'a port that is none in :authority': pseudo(':authority', 'HOST:80:80'),
  'an empty :authority': pseudo(':authority', ''),
  'a line in :scheme': pseudo(':scheme', 'http\r\nx-smuggled: 1'),
  'a host in :scheme': pseudo(':scheme', 'http://elsewhere.test/?'),
  'another :scheme': pseudo(':scheme', 'ftp'),
  'an empty :scheme': pseudo(':scheme', ''),
  'two :method': exactly(METHOD, METHOD, SCHEME, AUTHORITY, PATH),
  'two :path': exactly(METHOD, SCHEME, AUTHORITY, PATH, [':path', '/smuggled']),
  'two :authority': exactly(METHOD, SCHEME, AUTHORITY, [':authority', 'elsewhere.test'], PATH),
  'two :scheme': exactly(METHOD, SCHEME, SCHEME, AUTHORITY, PATH),
  'no :method': exactly(SCHEME, AUTHORITY, PATH),
  'no :scheme': exactly(METHOD, AUTHORITY, PATH),
  'no :path': exactly(METHOD, SCHEME, AUTHORITY),
  'no host at all': exactly(METHOD, SCHEME, PATH),
  ':path behind a field': exactly(METHOD, SCHEME, AUTHORITY, ['x-a', 'b'], PATH),
  ':status of a request': exactly(METHOD, SCHEME, AUTHORITY, PATH, [':status', '200']),
  'a pseudo-header field that does not exist': exactly(METHOD, SCHEME, AUTHORITY, PATH, [':x', '']),
  'a colon as a name': exactly(METHOD, SCHEME, AUTHORITY, PATH, [':', '']),
  ':protocol of GET': exactly(METHOD, SCHEME, AUTHORITY, PATH, [':protocol', 'websocket']),
  // Hosts.
  'host that is not :authority': exactly(METHOD, SCHEME, AUTHORITY, PATH, [
    'host',
    'elsewhere.test',
  ]),
  'host with another port than :authority': exactly(METHOD, SCHEME, AUTHORITY, PATH, [
    'host',
    'HOST:81',
  ]),
  'two hosts': exactly(METHOD, SCHEME, PATH, ['host', 'HOST'], ['host', 'elsewhere.test']),
  'two hosts that agree': exactly(METHOD, SCHEME, PATH, ['host', 'HOST'], ['host', 'HOST']),
  'a line in host': exactly(METHOD, SCHEME, PATH, ['host', 'HOST\r\nx-smuggled: 1']),
  'an empty host': exactly(METHOD, SCHEME, AUTHORITY, PATH, ['host', '']),
  // Framing.
  'transfer-encoding (h2.TE)': post([['transfer-encoding', 'chunked']], body(`0\r\n\r\n${SECOND}`)),
  'transfer-encoding of identity': post([['transfer-encoding', 'identity']], body('x')),
  'an empty transfer-encoding': post([['transfer-encoding', '']], body('x')),
  [EMPTY_BUT_NOT]: post([['content-length', '0']], body(SECOND)),
  'less content-length than body, by one': post([['content-length', '3']], body('body')),
  'more content-length than body': post([['content-length', '5']], body('body')),
  'content-length without a body': post([['content-length', '5']]),
  'two content-lengths': post(
    [
      ['content-length', '4'],
      ['content-length', '5'],
    ],
    body('body'),
  ),
  'two content-lengths that agree': post(
    [
      ['content-length', '4'],
      ['content-length', '4'],
    ],
    body('body'),
  ),
  'a list of content-lengths': post([['content-length', '4, 4']], body('body')),
  'a signed content-length': post([['content-length', '+4']], body('body')),
  'a negative content-length': post([['content-length', '-4']], body('body')),
  'a hexadecimal content-length': post([['content-length', '0x4']], body('body')),
  'an empty content-length': post([['content-length', '']], body('body')),
  'a content-length of 20 digits': post([['content-length', '1'.repeat(20)]], body('body')),
  // Of one connection.
  connection: field('connection', 'close'),
  'connection that names a field': field('connection', 'x-amt-tenant'),
  'keep-alive': field('keep-alive', 'timeout=5'),
  'proxy-connection': field('proxy-connection', 'keep-alive'),
  upgrade: field('upgrade', 'websocket'),
  'upgrade to h2c': field('upgrade', 'h2c'),
  'te: chunked': field('te', 'chunked'),
  'te: trailers and chunked': field('te', 'trailers, chunked'),
  'a line in te': field('te', 'trailers\r\nx-smuggled: 1'),
  'an expectation that is none': field('expect', '100-continue, x'),
  // Cookies are joined: none of them may bring a line.
  'a line in a crumb of cookie': field('cookie', 'a=b\r\nx-smuggled: 1'),
  'NUL in a crumb of cookie': field('cookie', 'a=b\0'),
  // Trailers.
  'a pseudo-header field in trailers': trailers([':path', '/smuggled']),
  ':status in trailers': trailers([':status', '200']),
  'transfer-encoding in trailers': trailers(['transfer-encoding', 'chunked']),
  'content-length in trailers': trailers(['content-length', '4']),
  'host in trailers': trailers(['host', 'elsewhere.test']),
  'connection in trailers': trailers(['connection', 'close']),
  'a line in trailers': trailers(['x-a', 'b\r\nx-smuggled: 1']),
  'a request in trailers': trailers(['x-a', `b\r\n\r\n${SECOND}`]),
  'a name in upper case in trailers': trailers(['X-A', 'b']),
  'te in trailers': trailers(['te', 'chunked']),
  // Extended CONNECT (RFC 8441) and CONNECT.
  'CONNECT that nobody has allowed': exactly([':method', 'CONNECT'], [':authority', 'HOST:80']),
  'CONNECT with a path': exactly([':method', 'CONNECT'], AUTHORITY, PATH, SCHEME),
  'CONNECT with a line in its authority': exactly(
    [':method', 'CONNECT'],
    [':authority', 'HOST:80\r\nx-smuggled: 1'],
  ),
  'CONNECT with a content-length': exactly(
    [':method', 'CONNECT'],
    [':authority', 'HOST:80'],
    ['content-length', '4'],
  ),
  'a line in :protocol': exactly(
    [':method', 'CONNECT'],
    [':protocol', 'websocket\r\nx-smuggled: 1'],
    SCHEME,
    AUTHORITY,
    PATH,
  ),
  'an empty :protocol': exactly([':method', 'CONNECT'], [':protocol', ''], SCHEME, AUTHORITY, PATH),
  'two :protocol': exactly(
    [':method', 'CONNECT'],
    [':protocol', 'websocket'],
    [':protocol', 'x'],
    SCHEME,
    AUTHORITY,
    PATH,
  ),
  'extended CONNECT without a path': exactly(
    [':method', 'CONNECT'],
    [':protocol', 'websocket'],
    SCHEME,
    AUTHORITY,
  ),
  'extended CONNECT without an authority': exactly(
    [':method', 'CONNECT'],
    [':protocol', 'websocket'],
    SCHEME,
    PATH,
    ['host', 'HOST'],
  ),
  'extended CONNECT to h2c': exactly(
    [':method', 'CONNECT'],
    [':protocol', 'h2c'],
    SCHEME,
    AUTHORITY,
    PATH,
  ),
  'extended CONNECT to HTTP/1.1': exactly(
    [':method', 'CONNECT'],
    [':protocol', 'HTTP/1.1'],
    SCHEME,
    AUTHORITY,
    PATH,
  ),
}

/** What the deployment has seen of the attack: nothing that is a whole message, and no octet of it that matters. */
function seen(world: World): string {
  const bytes = Buffer.concat(world.plain.connections.map(({ received }) => received))
  return bytes.toString('latin1')
}

/** The next call, on a fresh connection, is served, and is all that the deployment sees. */
async function nextCall(t: Test, world: World, host: string): Promise<void> {
  const client = await attacker(t, world)
  client.send(headers(1, requestPairs(host, { path: '/next' })))
  const answer = await client.answered(1)
  t.equal(answer.status, 200, 'the next call is served')
  client.destroy()
}

/** Bodies of the requests that reached the deployment of `host`. */
function bodies({ plain, framed }: World, host: string): string[] {
  return host === PLAIN
    ? plain.requests.map(({ body }) => body.toString('latin1'))
    : framed.calls.map(call => call.body)
}

/** Whole requests that reached the deployment of `host`, by their paths. */
function reached(world: World, host: string): string[] {
  return host === PLAIN
    ? world.plain.requests.map(({ target }) => target)
    : world.framed.calls.map(({ fields }) => fields.find(([name]) => name === ':path')?.[1] ?? '')
}

for (const host of HOSTS) {
  const name = host === PLAIN ? 'HTTP/1.1' : 'HTTP/2'
  await test(`HTTP/2 to ${name}: what two readers could take in two ways goes nowhere`, async t => {
    const all = await world(t)
    for (const [what, smuggle] of Object.entries(REFUSED_MESSAGES)) {
      await t.test(what, async t => {
        const before = reached(all, host).length
        const client = await attacker(t, all)
        client.send(smuggle(host))
        const refusal = refusalOf(client, await client.answered(1))
        t.match(refusal, REFUSED, `refused with ${refusal}`)
        client.destroy()
        await nextCall(t, all, host)
        const seen = reached(all, host).slice(before)
        // What its head says is a whole message, and is what the deployment sees; the body that should not be does not arrive.
        if (what === EMPTY_BUT_NOT && seen.length === 2) t.same(bodies(all, host).at(-2), '')
        else t.same(seen, ['/next'], 'nothing else has arrived')
      })
    }
    t.notMatch(seen(all), /smuggled/)
    t.same(all.plain.violations, [])
    t.same(all.framed.violations, [])
  })
}

await test('a fault of one stream leaves the others of its connection alone', async t => {
  const all = await world(t)
  const client = await attacker(t, all)
  client.send(
    headers(1, requestPairs(PLAIN, { method: 'POST' }), { endStream: false }),
    headers(3, requestPairs(PLAIN, {}, [['x-a', 'b\r\nx-smuggled: 1']])),
    headers(5, requestPairs(FRAMED, {}, [['transfer-encoding', 'chunked']])),
    body('served'),
  )
  t.equal((await client.answered(1)).status, 200)
  t.equal((await client.answered(3)).reset, PROTOCOL_ERROR)
  t.equal((await client.answered(5)).reset, PROTOCOL_ERROR)
  t.equal(client.goaway, undefined)
  client.destroy()
})

/** Fields of ours that a client may not set; with a blank between them as applications behind CGI would not tell them apart. */
const SPOOFED: readonly Pair[] = [
  ['x-amt-tenant', 'spoofed'],
  ['x-amt-anything', 'spoofed'],
  ['x_amt_tenant', 'spoofed'],
  ['x-amt_tenant', 'spoofed'],
  ['x-forwarded-client-cert', 'spoofed'],
  ['x_forwarded_client_cert', 'spoofed'],
  ['x-forwarded-for', 'spoofed'],
  ['x_forwarded_for', 'spoofed'],
  ['x-forwarded-host', 'spoofed'],
  ['x-forwarded-proto', 'spoofed'],
  ['x-forwarded-port', 'spoofed'],
  ['forwarded', 'for=spoofed'],
  ['proxy-authorization', 'spoofed'],
  ['http2-settings', 'spoofed'],
  ['transfer_encoding', 'spoofed'],
  ['content_length', 'spoofed'],
]

for (const host of HOSTS) {
  const name = host === PLAIN ? 'HTTP/1.1' : 'HTTP/2'
  await test(`HTTP/2 to ${name}: nobody says who they are in fields of ours, nor in trailers`, async t => {
    const all = await world(t)
    const client = await attacker(t, all)
    client.send(
      headers(1, requestPairs(host, { method: 'POST' }, [...SPOOFED, ['te', 'trailers']]), {
        endStream: false,
      }),
      frame(DATA, 1, 'body'),
      headers(1, [...SPOOFED, ['x-sum', '4']]),
    )
    t.equal((await client.answered(1)).status, 200)
    const { head, behind } = seenBy(all, host)
    t.notMatch(head, /spoofed/)
    t.notMatch(behind, /spoofed/)
    t.match(behind, /x-sum: 4/, 'all other trailers pass')
    t.same([...all.plain.violations, ...all.framed.violations], [])
    client.destroy()
  })

  await test(`HTTP/2 to ${name}: crumbs of cookie become one value, also those with semicolons`, async t => {
    const all = await world(t)
    const client = await attacker(t, all)
    const crumbs = ['a=b; c=d', 'e=f;g=h', 'i="j;k"'].map(value => ['cookie', value] as const)
    client.send(headers(1, requestPairs(host, {}, crumbs)))
    t.equal((await client.answered(1)).status, 200)
    const { head } = seenBy(all, host)
    t.same(
      head
        .split('\n')
        .filter(line => line.startsWith('cookie: '))
        .join('; ')
        .replaceAll('cookie: ', ''),
      'a=b; c=d; e=f;g=h; i="j;k"',
    )
    client.destroy()
  })

  await test(`HTTP/2 to ${name}: each octet that a value may have comes through as it was`, async t => {
    const all = await world(t)
    const client = await attacker(t, all)
    const value = String.fromCharCode(
      ...Array.from({ length: 256 }, (_, code) => code).filter(
        code => code === 9 || (code >= 0x20 && code !== 0x7f),
      ),
    ).trim()
    client.send(headers(1, requestPairs(host, {}, [['x-octets', value]])))
    t.equal((await client.answered(1)).status, 200)
    t.ok(seenBy(all, host).head.includes(`x-octets: ${value}\n`))
    client.destroy()
  })
}

/** Fields of the last request as lines, and its trailers. */
function seenBy({ plain, framed }: World, host: string): { head: string; behind: string } {
  if (host === FRAMED) {
    const { fields, trailers: last } = framed.calls.at(-1) ?? { fields: [], trailers: [] }
    return { head: linesOf(fields), behind: linesOf(last) }
  }
  const request = plain.requests.at(-1)
  const text = request?.bytes.toString('latin1') ?? ''
  const end = text.indexOf('\r\n\r\n')
  return { head: linesOf(request?.fields ?? []), behind: text.slice(end + 4) }
}

function linesOf(fields: readonly Pair[]): string {
  return fields.map(([name, value]) => `${name}: ${value}\n`).join('')
}

/** What HTTP/1.1 says to a deployment of HTTP/2. */
const FROM_HTTP1: Readonly<Record<string, readonly [text: string, status: number]>> = {
  'a pseudo-header field as a line': [
    'GET / HTTP/1.1\r\nhost: HOST\r\n:path: /smuggled\r\n\r\n',
    400,
  ],
  ':authority as a line': [
    'GET / HTTP/1.1\r\nhost: HOST\r\n:authority: elsewhere.test\r\n\r\n',
    400,
  ],
  'a field that Connection names': [
    'GET / HTTP/1.1\r\nhost: HOST\r\nconnection: x-hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n\r\n',
    200,
  ],
  'TE of chunked': [
    'GET / HTTP/1.1\r\nhost: HOST\r\nconnection: te\r\nte: chunked;q=0.5\r\n\r\n',
    200,
  ],
  'TE of trailers among others': [
    'GET / HTTP/1.1\r\nhost: HOST\r\nconnection: te\r\nte: trailers, deflate\r\n\r\n',
    200,
  ],
  'Upgrade to h2c with HTTP2-Settings': [
    'GET / HTTP/1.1\r\nhost: HOST\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n',
    200,
  ],
  // Where a deployment knows no extended CONNECT there is nothing that they could become.
  'Upgrade to WebSocket': [
    'GET / HTTP/1.1\r\nhost: HOST\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n',
    501,
  ],
  'Upgrade to a list of protocols': [
    'GET / HTTP/1.1\r\nhost: HOST\r\nconnection: upgrade\r\nupgrade: one, two/2.0\r\n\r\n',
    501,
  ],
  'Proxy-Connection': ['GET / HTTP/1.1\r\nhost: HOST\r\nproxy-connection: keep-alive\r\n\r\n', 200],
  'an absolute target': ['GET http://HOST/a HTTP/1.1\r\nhost: HOST\r\n\r\n', 200],
  'an absolute target of another host': [
    'GET http://elsewhere.test/a HTTP/1.1\r\nhost: HOST\r\n\r\n',
    400,
  ],
  'names in upper case': ['GET / HTTP/1.1\r\nHOST: HOST\r\nX-UPPER: Value\r\n\r\n', 200],
  'blanks around values': [
    'GET / HTTP/1.1\r\nhost: HOST\r\nx-a:  \t b \t\r\nx-empty:\r\n\r\n',
    200,
  ],
  'chunks with trailers': [
    'POST / HTTP/1.1\r\nhost: HOST\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 4\r\nx-amt-tenant: spoofed\r\nte: spoofed\r\n\r\n',
    200,
  ],
  'Content-Length beside chunks': [
    'POST / HTTP/1.1\r\nhost: HOST\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  'fields of ours': [
    'GET / HTTP/1.1\r\nhost: HOST\r\nx-amt-tenant: spoofed\r\nx_amt_tenant: spoofed\r\nx-forwarded-client-cert: spoofed\r\n\r\n',
    200,
  ],
}

await test('HTTP/1.1 to HTTP/2: what belongs to a connection ends here, and no line becomes a pseudo-header field', async t => {
  const all = await world(t)
  for (const [what, [text, status]] of Object.entries(FROM_HTTP1)) {
    await t.test(what, async t => {
      const before = all.framed.calls.length
      const client = await RawClient.connect(all.proxy.port('public'))
      client.send(text.replaceAll(/(?<!\n)HOST/g, FRAMED))
      await client.until(() => client.received.includes('\r\n\r\n'))
      t.equal(Number(client.received.toString('latin1', 9, 12)), status)
      client.close()
      const calls = all.framed.calls.slice(before)
      t.equal(calls.length, status === 200 ? 1 : 0)
      const lines = linesOf([...(calls[0]?.fields ?? []), ...(calls[0]?.trailers ?? [])])
      t.notMatch(lines, /smuggled|spoofed|elsewhere|x-hop|h2c|http2-settings/)
    })
  }
  t.same(all.framed.violations, [])
  const upper = all.framed.calls.flatMap(({ fields }) => fields)
  t.same(
    upper.filter(([name]) => name === 'x-upper' || name === 'x-a' || name === 'x-empty'),
    [
      ['x-upper', 'Value'],
      ['x-a', 'b'],
      ['x-empty', ''],
    ],
  )
  t.same(
    all.framed.calls.flatMap(call => call.trailers),
    [['x-sum', '4']],
  )
})

await test('HTTP/1.1 to HTTP/2: an upgrade becomes an extended CONNECT of one protocol, or goes nowhere', async t => {
  const begun: (readonly Pair[])[] = []
  const { port } = await startFrameDeployment(
    t,
    peer => {
      peer.streamBegan = (id, { sections }) => {
        begun.push(sections[0] ?? [])
        peer.send(headers(id, [[':status', '403']]))
      }
    },
    { greeting: frame(SETTINGS, 0, Buffer.from('000800000001', 'hex')) },
  )
  const proxy = await startProxy({
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    tenants: [
      { id: 'framed', hosts: [FRAMED], deployment: { endpoints: [`h2c://127.0.0.1:${port}`] } },
    ],
  })
  t.teardown(() => proxy.close())
  const answers: string[] = []
  for (const upgrade of ['websocket', 'one, two', 'one/2.0', 'a b', 'websocket\t, h2c']) {
    const client = await RawClient.connect(proxy.port('public'))
    client.send(
      `GET /a HTTP/1.1\r\nhost: ${FRAMED}\r\nconnection: upgrade\r\nupgrade: ${upgrade}\r\n\r\n`,
    )
    await client.until(() => client.received.includes('\r\n\r\n'))
    answers.push(`${upgrade}: ${client.received.toString('latin1', 9, 12)}`)
    client.close()
  }
  // What offers HTTP/2 as well offers nothing; the deployment sees it as a call.
  t.same(answers, [
    'websocket: 403',
    'one, two: 501',
    'one/2.0: 501',
    'a b: 501',
    'websocket\t, h2c: 403',
  ])
  const protocols = begun.map(fields => fields.find(([name]) => name === ':protocol')?.[1])
  t.same(protocols, ['websocket', undefined])
})

const OK: Pair = [':status', '200']
type AnswerOf = (streamId: number) => Buffer
const answer =
  (...pairs: Pair[]): AnswerOf =>
  id =>
    headers(id, pairs)
/** With a body, and trailers where there are any. */
const withBody =
  (pairs: readonly Pair[], text: string, last?: Pair): AnswerOf =>
  id =>
    Buffer.concat([
      headers(id, pairs, { endStream: false }),
      frame(DATA, id, text, last === undefined ? END_STREAM : 0),
      ...(last === undefined ? [] : [headers(id, [last])]),
    ])

/** Answers of a deployment of HTTP/2 that no client may see. */
const BAD_ANSWERS: Readonly<Record<string, AnswerOf>> = {
  'a line in a value': answer(OK, ['x-a', 'b\r\nx-smuggled: 1']),
  'an answer in a value': answer(OK, ['x-a', 'b\r\n\r\nHTTP/1.1 200 OK\r\nx-smuggled: 1']),
  'NUL in a value': answer(OK, ['x-a', 'b\0']),
  'a line in a name': answer(OK, ['x-a: b\r\nx-smuggled', '1']),
  'a name in upper case': answer(OK, ['X-A', 'b']),
  'an empty name': answer(OK, ['', 'b']),
  'a line in :status': answer([':status', '200 OK\r\nx-smuggled: 1']),
  'a :status of four digits': answer([':status', '2000']),
  'no :status': answer(['x-a', 'b']),
  'two :status': answer(OK, [':status', '204']),
  ':status behind a field': answer(['x-a', 'b'], OK),
  ':path of an answer': answer(OK, [':path', '/']),
  '101': answer([':status', '101']),
  'transfer-encoding': withBody([OK, ['transfer-encoding', 'chunked']], '0\r\n\r\n'),
  connection: answer(OK, ['connection', 'close']),
  upgrade: answer(OK, ['upgrade', 'h2c']),
  'two content-lengths': withBody([OK, ['content-length', '4'], ['content-length', '5']], 'body'),
  'a content-length that is none': withBody([OK, ['content-length', '+4']], 'body'),
  'headers that do not end and no answer': answer([':status', '103']),
}

/** Answers whose fault shows when they have begun. */
const CUT_ANSWERS: Readonly<Record<string, AnswerOf>> = {
  'more content-length than body': withBody([OK, ['content-length', '5']], 'body'),
  'less content-length than body': withBody([OK, ['content-length', '3']], 'body'),
  'trailers with a line': withBody([OK], 'body', ['x-a', 'b\r\nx-smuggled: 1']),
  'trailers with a pseudo-header field': withBody([OK], 'body', OK),
  'trailers with transfer-encoding': withBody([OK], 'body', ['transfer-encoding', 'chunked']),
}

/** A proxy before a deployment of HTTP/2 that gives each call this answer. */
async function answeredWith(t: Test, answerOf: AnswerOf): Promise<RunningProxy> {
  const deployment = await RecordingFrameDeployment.start(t, answerOf)
  const proxy = await startProxy({
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    tenants: [
      {
        id: 'framed',
        hosts: [FRAMED],
        deployment: { endpoints: [`h2c://127.0.0.1:${deployment.port}`] },
      },
    ],
  })
  t.teardown(() => proxy.close())
  return proxy
}

for (const [what, answerOf] of Object.entries(BAD_ANSWERS)) {
  await test(`answers of HTTP/2 that no client may see: ${what}`, async t => {
    const proxy = await answeredWith(t, answerOf)
    const client = await RawClient.connect(proxy.port('public'))
    client.send(`GET / HTTP/1.1\r\nhost: ${FRAMED}\r\n\r\n`)
    const whole = (): ReturnType<typeof readStrictAnswer> =>
      readStrictAnswer(client.received, { method: 'GET', closed: client.closed })
    await client.until(() => whole().kind !== 'incomplete')
    const result = whole()
    t.match(result, { kind: 'message', message: { status: 502 } })
    t.notMatch(client.received.toString('latin1'), /smuggled/)
    client.close()
    const framed = await connectAttacker(t, { port: proxy.port('public') })
    framed.send(headers(1, requestPairs(FRAMED)))
    t.equal((await framed.answered(1)).status, 502, 'and over HTTP/2')
    framed.destroy()
  })
}

for (const [what, answerOf] of Object.entries(CUT_ANSWERS)) {
  await test(`answers of HTTP/2 that are cut where they go wrong: ${what}`, async t => {
    const proxy = await answeredWith(t, answerOf)
    const client = await RawClient.connect(proxy.port('public'))
    client.send(`GET / HTTP/1.1\r\nhost: ${FRAMED}\r\n\r\n`)
    await client.until(() => false)
    const text = client.received.toString('latin1')
    t.notMatch(text, /smuggled/)
    // The fault may have come with the head: then there was time to say so.
    const result = readStrictAnswer(client.received, { method: 'GET', closed: true })
    if (result.kind === 'message') t.equal(result.message.status, 502)
    else t.equal(result.kind, 'incomplete', 'the client notices')
    client.close()
    const framed = await connectAttacker(t, { port: proxy.port('public') })
    framed.send(headers(1, requestPairs(FRAMED)))
    const { status, reset, sections } = await framed.answered(1)
    t.ok(status === 502 || reset !== undefined, `over HTTP/2: ${status}, reset ${reset}`)
    t.notMatch(JSON.stringify(sections), /smuggled/)
    framed.destroy()
  })
}

/** Answers of HTTP/1.1 as a client of HTTP/2 gets them. */
const HTTP1_ANSWERS: Readonly<Record<string, readonly [text: string, status: number]>> = {
  'fields of one connection': [
    'HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: smuggled\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok',
    200,
  ],
  'chunks with trailers': [
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 2\r\nconnection: smuggled\r\n\r\n',
    200,
  ],
  'names in upper case': ['HTTP/1.1 200 OK\r\nX-Upper: Value\r\nContent-Length: 2\r\n\r\nok', 200],
  'a pseudo-header field as a line': [
    'HTTP/1.1 200 OK\r\n:status: 500\r\ncontent-length: 2\r\n\r\nok',
    502,
  ],
  '101 that nobody asked for': [
    'HTTP/1.1 101 Switching Protocols\r\nupgrade: smuggled\r\n\r\n',
    502,
  ],
  'a length and chunks': [
    'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    502,
  ],
  'upgrade that is only offered': [
    'HTTP/1.1 426 Upgrade Required\r\nconnection: upgrade\r\nupgrade: smuggled\r\ncontent-length: 0\r\n\r\n',
    426,
  ],
  'a second answer behind the first': [
    'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nx-smuggled: 1\r\ncontent-length: 0\r\n\r\n',
    200,
  ],
}

for (const [what, [text, status]] of Object.entries(HTTP1_ANSWERS)) {
  await test(`answers of HTTP/1.1 to HTTP/2: ${what}`, async t => {
    const server = createServer(socket => {
      socket.on('error', () => socket.destroy())
      socket.on('data', chunk => {
        if (chunk.includes('\r\n\r\n')) socket.write(text)
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const proxy = await startProxy({
      listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
      tenants: [
        { id: 'plain', hosts: [PLAIN], deployment: { endpoints: [`http://127.0.0.1:${port}`] } },
      ],
    })
    t.teardown(async () => {
      await proxy.close()
      server.close()
    })
    const client = await connectAttacker(t, { port: proxy.port('public') })
    for (const id of [1, 3]) {
      client.send(headers(id, requestPairs(PLAIN, {}, [['te', 'trailers']])))
      const heard = await client.answered(id)
      t.equal(heard.status, status)
      const said = JSON.stringify(heard.sections)
      t.notMatch(said, /smuggled|"connection"|"keep-alive"|"transfer-encoding"|[A-Z]-Upper/)
    }
    client.destroy()
  })
}
