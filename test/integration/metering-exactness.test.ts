/** What a client wrote and read on its socket is what its tenant's usage says, to the byte (docs/metering.md). */
import { createHash } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { writeFileSync } from 'node:fs'
import type { Server, Socket } from 'node:net'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import type { UsageRecord } from '../../src/contracts/usage-report.ts'
import { cut } from '../../src/proxy/wire/cut.ts'
import {
  createAuthority,
  issueServerCertificate,
  issueTenantCertificate,
} from '../../src/runtime/certificates/issue.ts'
import {
  CountedClient,
  type CountedDeployment,
  countedDeployment,
  serveHttp,
} from '../support/counted-peers.ts'
import { type RunningProxy, startProxy } from '../support/start-proxy.ts'

const CRLF = '\r\n'
const KEYS = { acme: 'the key of acme', globex: 'the key of globex' } as const
type TenantId = keyof typeof KEYS

interface Setup {
  readonly proxy: RunningProxy
  readonly deployment: CountedDeployment
  connect(listener?: string): Promise<CountedClient>
}

/** Two tenants in front of the same deployment, so that what is counted for one is not counted for the other. */
async function setup(
  t: Test,
  serve: Parameters<typeof countedDeployment>[1],
  scheme: 'http' | 'https' = 'http',
): Promise<Setup> {
  const certificates = await issueCertificates(t)
  const { server, ca } = certificates
  const deployment = await countedDeployment(t, serve, scheme === 'https' ? server : undefined)
  const proxy = await startProxy({
    listeners: [
      { name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' },
      { name: 'private', mode: 'private', port: 0, protocol: 'tcp' },
      { name: 'tls', mode: 'shared', address: '127.0.0.1:0', tls: certificates.listener },
    ],
    authentication: { spiffe: { trustDomain: 'example.org' } },
    tenants: (['acme', 'globex'] as const).map((id, index) => ({
      id,
      address: `127.0.0.${index + 1}`,
      credentials: [
        { apiKey: `sha256:${createHash('sha256').update(KEYS[id]).digest('hex')}` },
        { spiffe: `spiffe://example.org/tenant/${id}` },
      ],
      deployment: { endpoints: [`${scheme}://127.0.0.1:${deployment.port}`], tls: { ca } },
    })),
  })
  t.teardown(() => proxy.close())
  return {
    proxy,
    deployment,
    connect: async (listener = 'public') =>
      CountedClient.connect(t, {
        port: proxy.port(listener),
        ...(listener === 'tls' ? certificates.acme : {}),
      }),
  }
}

async function issueCertificates(t: Test): Promise<{
  listener: Record<string, unknown>
  acme: { ca: string; cert: string; key: string }
  server: { cert: string; key: string }
  /** Path of the authority. */
  ca: string
}> {
  const folder = t.testdir({})
  const authority = await createAuthority('test', Date.now())
  const server = await issueServerCertificate(
    authority,
    { names: [], addresses: ['127.0.0.1'] },
    Date.now(),
  )
  const acme = await issueTenantCertificate(
    authority,
    { tenant: 'acme', spiffeId: 'spiffe://example.org/tenant/acme' },
    Date.now(),
  )
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const ca = file('ca.crt', authority.cert)
  return {
    ca,
    server,
    listener: {
      certificates: [
        { cert: file('server.crt', server.cert), key: file('server.key', server.key) },
      ],
      clientCertificate: 'optional',
      clientCa: ca,
    },
    acme: { ca: authority.cert, ...acme },
  }
}

function request(method: string, tenant: TenantId, rest = ''): string {
  return `${method} /x HTTP/1.1${CRLF}host: example.com${CRLF}x-api-key: ${KEYS[tenant]}${CRLF}${rest}${CRLF}`
}

function answerOf(body: string): string {
  return `HTTP/1.1 200 OK${CRLF}content-length: ${body.length}${CRLF}${CRLF}${body}`
}

/** The proxy has seen the ends of all connections. */
async function quiet({ proxy }: Setup): Promise<void> {
  while (proxy.worker.openConnections > 0) await new Promise(resolve => setImmediate(resolve))
  // In the turn of the last end it has come to the journal.
  await new Promise(resolve => setImmediate(resolve))
}

interface Counted {
  readonly calls: number
  readonly ingress: number
  readonly egress: number
}

/** Calls and bytes of a tenant. All of it must be in the journal, before anybody has asked for a report. */
function counted({ proxy }: Setup, filter: Partial<UsageRecord> = {}): Counted {
  const wanted = (record: UsageRecord): boolean =>
    Object.entries(filter).every(([key, value]) => record[key as keyof UsageRecord] === value)
  const journaled = sumOf(proxy.journaled().filter(wanted))
  const told = sumOf(proxy.usage().filter(wanted))
  if (JSON.stringify(journaled) !== JSON.stringify(told))
    throw new Error(`journaled ${JSON.stringify(journaled)}, counted ${JSON.stringify(told)}`)
  return told
}

function sumOf(records: readonly UsageRecord[]): Counted {
  const sum = { calls: 0, ingress: 0, egress: 0 }
  for (const { calls, ingress, egress } of records) {
    sum.calls += calls
    sum.ingress += ingress
    sum.egress += egress
  }
  return sum
}

/** Chunks of all sizes from 1 byte to more than one read of the proxy. */
const ODD_CHUNKS = `${[1, 3, 15, 16, 17, 255, 4_095, 8_193, 70_001]
  .map(size => `${size.toString(16)}${CRLF}${'c'.repeat(size)}${CRLF}`)
  .join('')}0${CRLF}${CRLF}`

interface HttpCase {
  readonly name: string
  readonly method?: string
  readonly rest?: string
  readonly body?: string
  readonly answer: string
  readonly status?: number
}

const HTTP_CASES: readonly HttpCase[] = [
  { name: 'no body, an answer with a length', answer: answerOf('hello') },
  {
    name: 'bodies with a length, larger than one read',
    method: 'POST',
    rest: `content-length: 200001${CRLF}`,
    body: 'q'.repeat(200_001),
    answer: answerOf('a'.repeat(300_003)),
  },
  {
    name: 'chunks of odd sizes both ways',
    method: 'POST',
    rest: `transfer-encoding: chunked${CRLF}`,
    body: ODD_CHUNKS,
    answer: `HTTP/1.1 200 OK${CRLF}transfer-encoding: chunked${CRLF}${CRLF}${ODD_CHUNKS}`,
  },
  {
    name: 'chunks with extensions and trailers',
    method: 'POST',
    rest: `transfer-encoding: chunked${CRLF}`,
    body: `3;a=b${CRLF}abc${CRLF}0;c${CRLF}x-sum: 1${CRLF}${CRLF}`,
    answer: `HTTP/1.1 200 OK${CRLF}transfer-encoding: chunked${CRLF}${CRLF}2;d=e${CRLF}ab${CRLF}0${CRLF}x-sum: 2${CRLF}${CRLF}`,
  },
  {
    name: 'HEAD',
    method: 'HEAD',
    answer: `HTTP/1.1 200 OK${CRLF}content-length: 12345${CRLF}${CRLF}`,
  },
  { name: '204', answer: `HTTP/1.1 204 No Content${CRLF}${CRLF}`, status: 204 },
  {
    name: 'an interim answer before the real one',
    answer: `HTTP/1.1 103 Early Hints${CRLF}link: </x>${CRLF}${CRLF}${answerOf('hello')}`,
  },
  {
    name: 'an answer that is not valid, after the call was sent',
    answer: `HTTP/1.1 200 OK${CRLF}content-length: 1${CRLF}content-length: 2${CRLF}${CRLF}`,
    status: 502,
  },
]

for (const { name, method = 'GET', rest = '', body = '', answer, status = 200 } of HTTP_CASES) {
  await test(`the bytes of a call are exact: ${name}`, async t => {
    const running = await setup(
      t,
      serveHttp((_request, socket) => socket.write(answer, 'latin1')),
    )
    const client = await running.connect()
    await client.write(request(method, 'acme', rest) + body)
    await client.until(() => client.answers([method]).length === 1)
    t.same(client.answers([method]), [status])
    const usage = { calls: 1, ingress: client.sent, egress: client.received }
    t.same(counted(running), usage, 'as soon as the client has the answer')
    client.socket.destroy()
    await quiet(running)
    t.same(counted(running), usage, 'when the connection is closed')
    t.same(
      counted(running, { code: `${status}`.replace(/..$/, 'xx') as UsageRecord['code'] }),
      usage,
    )
  })
}

await test('each call of a kept connection is counted for its own tenant', async t => {
  const running = await setup(
    t,
    serveHttp(({ body }, socket) => socket.write(answerOf(`${body.length}`))),
  )
  const client = await running.connect()
  const expected = {
    acme: { calls: 0, ingress: 0, egress: 0 },
    globex: { calls: 0, ingress: 0, egress: 0 },
  }
  for (const [index, tenant] of (
    ['acme', 'globex', 'globex', 'acme', 'globex'] as const
  ).entries()) {
    const before = { sent: client.sent, received: client.received }
    await client.write(
      request('PUT', tenant, `content-length: ${index}${CRLF}`) + 'x'.repeat(index),
    )
    await client.until(() => client.answers(Array(index + 1).fill('PUT')).length === index + 1)
    expected[tenant].calls++
    expected[tenant].ingress += client.sent - before.sent
    expected[tenant].egress += client.received - before.received
  }
  t.same(counted(running, { tenant: 'acme' }), expected.acme)
  t.same(counted(running, { tenant: 'globex' }), expected.globex)
  t.equal(proxyConnections(running), 1)
})

function proxyConnections({ proxy }: Setup): number {
  return proxy.totals().connections
}

await test('pipelined calls are counted apart, wherever their bytes are split', async t => {
  const running = await setup(
    t,
    serveHttp(({ body }, socket) => socket.write(answerOf('a'.repeat(body.length * 10)))),
  )
  const calls = (['acme', 'globex', 'acme', 'acme', 'globex'] as const).map((tenant, index) => ({
    tenant,
    bytes: request('POST', tenant, `content-length: ${index}${CRLF}`) + 'x'.repeat(index),
  }))
  const all = calls.map(({ bytes }) => bytes).join('')
  for (const size of [all.length, 1, 7, 100]) {
    const before = {
      acme: counted(running, { tenant: 'acme' }),
      globex: counted(running, { tenant: 'globex' }),
    }
    const client = await running.connect()
    for (let at = 0; at < all.length; at += size) await client.write(all.slice(at, at + size))
    await client.until(() => client.answers(Array(5).fill('POST')).length === 5)
    for (const tenant of ['acme', 'globex'] as const) {
      const after = counted(running, { tenant })
      const own = calls.filter(call => call.tenant === tenant)
      t.equal(after.calls - before[tenant].calls, own.length, `${tenant}, pieces of ${size}`)
      t.equal(after.ingress - before[tenant].ingress, own.map(call => call.bytes).join('').length)
    }
    t.equal(
      counted(running).egress - before.acme.egress - before.globex.egress,
      client.received,
      'nothing that was sent is nobody’s',
    )
    client.socket.destroy()
  }
})

await test('a deployment that dies after it was asked is usage of both sides', async t => {
  const running = await setup(
    t,
    serveHttp((_request, socket) => cut(socket)),
  )
  const client = await running.connect()
  await client.write(request('POST', 'acme', `content-length: 3${CRLF}`) + 'abc')
  await client.until(() => client.answers(['POST']).length === 1)
  t.same(client.answers(['POST']), [502])
  t.same(counted(running, { code: '5xx' }), {
    calls: 1,
    ingress: client.sent,
    egress: client.received,
  })
})

await test('a deployment that dies in the middle of its answer: what came is counted', async t => {
  const running = await setup(
    t,
    serveHttp((_request, socket) => {
      socket.write(answerOf('a'.repeat(100_000)).slice(0, 50_000), () => cut(socket))
    }),
  )
  const client = await running.connect()
  await client.write(request('GET', 'acme'))
  await client.untilEnd()
  t.same(counted(running), { calls: 1, ingress: client.sent, egress: client.received })
})

const REFUSED: Record<string, string> = {
  'no credential': `GET / HTTP/1.1${CRLF}host: a${CRLF}${CRLF}`,
  'a wrong key': `POST / HTTP/1.1${CRLF}host: a${CRLF}x-api-key: amt_wrong${CRLF}content-length: 3${CRLF}${CRLF}abc`,
  'no HTTP at all': `\x00\x01\x02${CRLF}${CRLF}`,
  'an ambiguous message': request(
    'POST',
    'acme',
    `content-length: 1${CRLF}content-length: 2${CRLF}`,
  ),
}

for (const [name, bytes] of Object.entries(REFUSED)) {
  await test(`what is refused is no usage: ${name}`, async t => {
    const running = await setup(
      t,
      serveHttp(() => t.fail('the deployment sees a refused call')),
    )
    const client = await running.connect()
    await client.write(bytes)
    await client.until(() => client.answers(['GET']).length === 1)
    client.socket.destroy()
    await quiet(running)
    t.same(counted(running), { calls: 0, ingress: 0, egress: 0 })
    t.equal(proxyConnections(running), 0)
    t.equal(running.proxy.rejected(), 1)
  })
}

/** A server that sends each byte back, and ends when its peer does. */
function echo(socket: Socket): void {
  socket.pipe(socket)
}

await test('an upgraded connection is one call with the bytes of both directions', async t => {
  const running = await setup(
    t,
    serveHttp((_request, socket) => {
      socket.write(
        `HTTP/1.1 101 Switching Protocols${CRLF}connection: upgrade${CRLF}upgrade: x${CRLF}${CRLF}hello`,
      )
      echo(socket)
      socket.on('end', () => socket.end())
    }),
  )
  const client = await running.connect()
  await client.write(
    request('GET', 'acme', `connection: upgrade${CRLF}upgrade: x${CRLF}`) + 'early',
  )
  await client.until(() => client.bytes.includes('helloearly'))
  const mark = client.received
  await client.write(Buffer.alloc(100_001, 'x'))
  await client.untilReceived(mark + 100_001)
  t.same(
    counted(running),
    { calls: 1, ingress: client.sent, egress: client.received },
    'counted as it goes, and a call from its 101 on',
  )
  client.socket.end('last')
  client.sent += 4
  await client.untilEnd()
  t.equal(client.received, mark + 100_005)
  await quiet(running)
  t.same(counted(running, { code: '1xx' }), {
    calls: 1,
    ingress: client.sent,
    egress: client.received,
  })
})

for (const listener of ['private', 'tls']) {
  await test(`a tunnel on the ${listener} listener is counted to the byte, through both half-closes`, async t => {
    // The deployment speaks first, and once more after the client has said all.
    const running = await setup(t, socket => {
      socket.write('welcome')
      socket.on('data', (chunk: Buffer) => socket.write(chunk))
      socket.on('end', () => socket.end('goodbye'))
    })
    const client = await running.connect(listener)
    await client.untilReceived(7)
    for (const size of [1, 1_000, 20_000, 300_000]) {
      const mark = client.received
      await client.write(Buffer.alloc(size, 't'))
      await client.untilReceived(mark + size)
      t.same(counted(running, { operation: 'tunnel' }), {
        calls: 0,
        ingress: client.sent,
        egress: client.received,
      })
    }
    client.socket.end()
    await client.untilEnd()
    await quiet(running)
    t.match(client.bytes.subarray(-7).toString(), 'goodbye')
    t.same(counted(running, { operation: 'tunnel', tenant: 'acme' }), {
      calls: 0,
      ingress: client.sent,
      egress: client.received,
    })
    t.equal(client.sent, running.deployment.received)
    t.equal(proxyConnections(running), 1)
  })
}

await test('a deployment that ends first still takes and is billed for what the client sends', async t => {
  const running = await setup(t, socket => {
    socket.end('all I have to say')
    socket.resume()
  })
  const client = await running.connect('private')
  await client.untilEnd()
  await client.write(Buffer.alloc(50_000, 'u'))
  client.socket.end()
  await quiet(running)
  t.same(counted(running), { calls: 0, ingress: client.sent, egress: client.received })
  t.equal(running.deployment.received, 50_000)
})

await test('a client that half-closes behind a whole call gets its answer', async t => {
  const running = await setup(
    t,
    serveHttp(({ body }, socket) => socket.write(answerOf(`${body.length}`))),
  )
  const client = await running.connect()
  const call = request('POST', 'acme', `content-length: 5${CRLF}`) + 'whole'
  client.socket.end(call + call)
  await client.untilEnd()
  t.same(client.answers(['POST', 'POST']), [200, 200])
  await quiet(running)
  t.same(counted(running), { calls: 2, ingress: call.length * 2, egress: client.received })
})

for (const scheme of ['http', 'https'] as const) {
  await test(`a client that half-closes before it is upgraded ends the upgraded connection (${scheme})`, async t => {
    const running = await setup(
      t,
      serveHttp((_request, socket) => {
        socket.write(
          `HTTP/1.1 101 Switching Protocols${CRLF}connection: upgrade${CRLF}upgrade: x${CRLF}${CRLF}`,
        )
        // Inside TLS a record of its own, in the same arrival.
        socket.write('hello')
        echo(socket)
      }),
      scheme,
    )
    const client = await running.connect()
    const call = request('GET', 'acme', `connection: upgrade${CRLF}upgrade: x${CRLF}`)
    client.socket.end(call)
    await client.untilEnd()
    t.match(client.bytes.toString(), /hello$/)
    await quiet(running)
    t.same(counted(running), { calls: 1, ingress: call.length, egress: client.received })
  })
}

await test('a pipelined call that its client never ends is given up at once', async t => {
  const running = await setup(
    t,
    serveHttp(({ body }, socket) => socket.write(answerOf(`${body.length}`))),
  )
  const client = await running.connect()
  const whole = request('PUT', 'acme', `content-length: 5${CRLF}`) + 'whole'
  const half = request('PUT', 'acme', `content-length: 5${CRLF}`) + 'ha'
  client.socket.end(whole + half)
  await client.untilEnd()
  t.same(client.answers(['PUT', 'PUT']), [200])
  await quiet(running)
  t.same(counted(running, { code: '2xx' }), {
    calls: 1,
    ingress: whole.length,
    egress: client.received,
  })
})

/** What the proxy gave to `socket` and the kernel has not taken. */
function bytesHeld(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle: { writeQueueSize: number } }
  return handle.writeQueueSize
}

/** Sockets that servers of this process accept on `port` from now on. */
function acceptedSockets(t: Test, port: number): Socket[] {
  const sockets: Socket[] = []
  const note = (message: unknown): void => {
    const { socket } = message as { socket: Socket; server?: Server }
    if (socket.localPort === port) sockets.push(socket)
  }
  subscribe('net.server.socket', note)
  t.teardown(() => unsubscribe('net.server.socket', note))
  return sockets
}

for (const kind of ['call', 'tunnel'] as const) {
  await test(`a ${kind} whose client leaves in the middle of a large download: received ≤ egress ≤ given to the socket`, async t => {
    const body = Buffer.alloc(32 * 1024 * 1024, 'd')
    const head = `HTTP/1.1 200 OK${CRLF}content-length: ${body.length}${CRLF}${CRLF}`
    const running = await setup(t, socket => {
      socket.once('data', () => {
        socket.write(head)
        socket.write(body)
      })
    })
    const listener = kind === 'call' ? 'public' : 'private'
    const accepted = acceptedSockets(t, running.proxy.port(listener))
    const client = await running.connect(listener)
    await client.write(request('GET', 'acme'))
    await client.untilReceived(1024 * 1024)
    client.socket.pause()
    const [socket] = accepted
    if (socket === undefined) throw new Error('the proxy has accepted nothing')
    // The client reads no more: the kernel's buffers fill up, and then the proxy has to wait.
    while (bytesHeld(socket) === 0) await new Promise(resolve => setImmediate(resolve))
    const given = socket.bytesWritten
    cut(client.socket)
    await quiet(running)
    const { egress } = counted(running)
    t.ok(client.received <= egress, `${client.received} received ≤ ${egress} counted`)
    t.equal(egress, given)
    t.ok(egress < body.length / 2, 'the rest was never sent, and is not billed')
  })
}
