/** The access log: a line a call and a connection, with all that `docs/access-log.md` says, and never a secret. */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { AccessLines } from '../support/access-lines.ts'
import { TestAuthority } from '../support/certificates.ts'
import { http2Test, outcomeOf, request, respond } from '../support/http2/http2-lab.ts'
import { answering } from '../support/manual-deployment.ts'
import { fieldsOf, get, keyOf, ok, proxyTest, readAnswer, tenant } from '../support/proxy-lab.ts'

const ISSUER = 'https://login.example.com'
const digestOf = (key: string): string => createHash('sha256').update(key).digest('hex').slice(0, 8)

await proxyTest('a line of a call has all that is known of it', async (t, lab) => {
  const log = new AccessLines(t)
  const deployment = await lab.deployment({ serve: answering(ok('hello')) })
  const proxy = await lab.forOne(deployment, {
    log: { level: 'error', access: log.path },
    service: { name: 'orders', operations: [{ name: 'read', match: 'GET /orders/:id' }] },
  })
  const client = await lab.client(proxy)
  const sent = get(
    '/orders/7?secret=of-the-query',
    `x-api-key: ${keyOf('acme')}\r\nx-request-id: id-of-the-client\r\n`,
  )
  const before = Date.now()
  await client.send(sent)
  const { head, body } = await readAnswer(client)
  const [line] = await log.await('call', 1)
  t.match(line, {
    kind: 'call',
    code: '',
    flag: '-',
    status: 200,
    operation: 'read',
    method: 'GET',
    host: 'acme.test',
    path: '/orders/7',
    protocol: 'HTTP/1.1',
    requestId: 'id-of-the-client',
    tenant: 'acme',
    listener: 'public',
    routability: 'l7',
    peer: '127.0.0.1',
    credential: 'apiKey',
    credentialId: digestOf(keyOf('acme')),
    upstream: `127.0.0.1:${deployment.port}`,
    ingress: sent.length,
    egress: head.length + body.length,
  })
  t.notOk('grpcStatus' in (line ?? {}), 'only calls of gRPC have one')
  const { time = '', durationMs = -1, waitMs = -1, upstreamMs = -1 } = line ?? {}
  t.ok(Math.abs(Date.parse(String(time)) - before) < 5_000, 'the time is that of its end')
  t.ok(Number(durationMs) > 0 && Number(durationMs) < 5_000)
  t.ok(Number(waitMs) >= 0 && Number(upstreamMs) > 0)
  t.ok(Number(waitMs) + Number(upstreamMs) <= Number(durationMs) + 0.002)
  client.end()
  const [connection] = await log.await('connection', 1)
  t.match(connection, {
    code: '',
    flag: '-',
    protocol: 'HTTP/1',
    connection: line?.connection,
    tenant: 'acme',
    routability: 'l7',
    peer: '127.0.0.1',
    calls: 1,
    ingress: sent.length,
    egress: head.length + body.length,
  })
  t.notOk('credential' in (connection ?? {}), 'which is that of its calls')
  t.notMatch(JSON.stringify(log.of()), /of-the-query|amt_acme/)
})

await proxyTest('the credential is named by its kind and id, and never shown', async (t, lab) => {
  const log = new AccessLines(t)
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const jwks = join(t.testdir(), 'jwks.json')
  writeFileSync(jwks, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k1' }] }))
  const token = await new SignJWT({ tenant: 'acme' })
    .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
    .setIssuer(ISSUER)
    .setAudience('orders')
    .setSubject('billing "service"')
    .setExpirationTime('1h')
    .sign(privateKey)
  const ca = await TestAuthority.create(t)
  const server = await ca.server(['acme.test'])
  const mine = await ca.tenant('acme')
  const deployment = await lab.deployment({ serve: answering(ok()) })
  const proxy = await lab.proxy({
    log: { level: 'error', access: log.path },
    authentication: {
      jwt: [{ issuer: ISSUER, audiences: ['orders'], jwks }],
      spiffe: { trustDomain: 'example.org' },
    },
    listeners: [
      {
        name: 'public',
        mode: 'shared',
        address: '127.0.0.1:0',
        tls: {
          certificates: [{ cert: server.certPath, key: server.keyPath }],
          clientCertificate: 'optional',
          clientCa: ca.certPath,
        },
      },
    ],
    tenants: [
      tenant('acme', deployment, {
        credentials: [
          { spiffe: 'spiffe://example.org/tenant/acme' },
          ...(tenant('acme', deployment).credentials as object[]),
        ],
      }),
    ],
  })
  const secure = { ca: ca.cert, servername: 'acme.test', ALPNProtocols: ['http/1.1'] }
  const client = await lab.tlsClient(proxy, secure)
  for (const lines of [
    `authorization: Bearer ${token}\r\n`,
    `authorization: ApiKey ${keyOf('acme')}\r\n`,
    `x-api-key: ${keyOf('acme')}\r\n`,
    '',
    `authorization: Bearer ${token.slice(0, -4)}AAAA\r\n`,
    `x-api-key: ${keyOf('acme').slice(0, -1)}!\r\n`,
  ]) {
    await client.send(get('/', lines))
    await readAnswer(client)
  }
  const certified = await lab.tlsClient(proxy, { ...secure, cert: mine.cert, key: mine.key })
  await certified.send(get())
  await readAnswer(certified)
  const lines = await log.await('call', 7)
  t.same(
    lines.map(({ status, credential, credentialId }) => [status, credential, credentialId]),
    [
      [200, 'jwt', 'billing "service"'],
      [200, 'apiKey', digestOf(keyOf('acme'))],
      [200, 'apiKey', digestOf(keyOf('acme'))],
      // By its host alone.
      [200, undefined, undefined],
      [401, undefined, undefined],
      [401, undefined, undefined],
      [200, 'certificate', 'spiffe://example.org/tenant/acme'],
    ],
  )
  certified.end()
  const [connection] = await log.await('connection', 1)
  t.match(connection, { credential: 'certificate', routability: 'l4' })
  t.notOk(JSON.stringify(log.of()).includes(token.slice(-40)), 'no token')
  t.notMatch(JSON.stringify(log.of()), /amt_acme_/, 'no key')
})

await proxyTest('refused and failed calls have a code, and the flag of Envoy', async (t, lab) => {
  const log = new AccessLines(t)
  const dead = await lab.deployment()
  await dead.close()
  const slow = await lab.deployment()
  const broken = await lab.deployment({ serve: answering('HTTP/9.9 what\r\n\r\n') })
  const proxy = await lab.proxy({
    log: { level: 'error', access: log.path },
    tenants: [
      tenant('acme', slow),
      tenant('dead', dead),
      tenant('broken', broken),
      tenant('limited', slow, { limits: { requests: '1/m', burst: 1 } }),
      tenant('off', slow, { disabled: true }),
    ],
  })
  const ask = async (host: string, lines = ''): Promise<void> => {
    const client = await lab.client(proxy)
    await client.send(`GET /a HTTP/1.1\r\nhost: ${host}\r\n${lines}\r\n`)
    await readAnswer(client)
    client.end()
    await client.gone()
  }
  await ask('nobody.test')
  await ask('acme.test', 'x-api-key: amt_acme_wrong\r\n')
  await ask('dead.test')
  await ask('broken.test')
  await ask('off.test')
  const upstream = ask('limited.test')
  const first = await slow.next()
  await first.readHead()
  await first.send(ok())
  await upstream
  await ask('limited.test')
  const leaver = await lab.client(proxy)
  await leaver.send(get('/leave'))
  await (await slow.next()).readHead()
  leaver.reset()
  const lines = await log.await('call', 8)
  t.same(
    lines.map(({ tenant: of, code, flag, status, upstream: to }) => [
      of,
      code,
      flag,
      status,
      to !== '',
    ]),
    [
      ['', 'unroutable', 'UAEX', 401, false],
      ['', 'credential_invalid', 'UAEX', 401, false],
      ['dead', 'upstream_connect', 'UF', 503, false],
      ['broken', 'upstream_malformed', 'UPE', 502, true],
      ['', 'tenant_disabled', 'UAEX', 403, false],
      ['limited', '', '-', 200, true],
      ['limited', 'rate_limited', 'RL', 429, false],
      ['acme', 'client_closed', 'DC', 499, true],
    ],
  )
})

await proxyTest('a line a connection, also of those that are refused', async (t, lab) => {
  const log = new AccessLines(t)
  const ca = await TestAuthority.create(t)
  const server = await ca.server(['acme.test'])
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({
    log: { level: 'error', access: log.path },
    listeners: [
      { name: 'public', mode: 'shared', address: '127.0.0.1:0' },
      {
        name: 'secure',
        mode: 'shared',
        address: '127.0.0.1:0',
        tls: { certificates: [{ cert: server.certPath, key: server.keyPath }] },
      },
      { name: 'own', mode: 'private', port: 0, protocol: 'tcp' },
    ],
    tenants: [tenant('acme', deployment, { address: '127.0.0.2' })],
  })
  const tunnel = await lab.client(proxy, 'own', '127.0.0.2')
  await tunnel.send('twelve bytes')
  const upstream = await deployment.next()
  await upstream.read('twelve bytes')
  await upstream.send('five!')
  await tunnel.readBytes(5)
  upstream.end()
  tunnel.end()
  t.match((await log.await('connection', 1)).at(-1), {
    code: '',
    flag: '-',
    protocol: 'tunnel',
    tenant: 'acme',
    listener: 'own',
    routability: 'private',
    ingress: 12,
    egress: 5,
    calls: 0,
    upstream: `127.0.0.1:${deployment.port}`,
  })
  const stranger = await lab.client(proxy)
  await stranger.send('\x00\x01\x02 what is this?')
  await stranger.readToEnd()
  stranger.end()
  t.match((await log.await('connection', 2)).at(-1), {
    code: 'unroutable',
    flag: 'UAEX',
    protocol: '',
    tenant: '',
    listener: 'public',
    routability: 'unroutable',
    peer: '127.0.0.1',
  })
  const malformed = await lab.client(proxy)
  await malformed.send('GET / HTTP/1.1\r\nhost : acme.test\r\n\r\n')
  await malformed.readToEnd()
  malformed.end()
  t.match((await log.await('connection', 3)).at(-1), {
    code: 'malformed_field',
    flag: 'DPE',
    protocol: 'HTTP/1',
    calls: 0,
  })
  const plain = await lab.client(proxy, 'secure')
  await plain.send('GET / HTTP/1.1\r\n\r\n')
  await plain.readToEnd()
  plain.end()
  t.match((await log.await('connection', 4)).at(-1), {
    code: 'tls_handshake_failed',
    flag: 'DPE',
    reason: 'not_tls',
    listener: 'secure',
    peer: '127.0.0.1',
  })
  // One that comes and goes without a word is a probe of a balancer.
  const probe = await lab.client(proxy)
  probe.end()
  await probe.readToEnd()
  const idle = await lab.client(proxy)
  await idle.send('GET')
  idle.end()
  await log.await('connection', 5)
  t.equal(log.of('connection').length, 5)
  t.same(log.of('call'), [])
})

await http2Test(
  'each stream of HTTP/2 is a call, and all are of one connection',
  async (t, lab, http2) => {
    const log = new AccessLines(t)
    const deployment = await http2.deployment(stream => respond(stream, 'hello'))
    const proxy = await lab.proxy({
      log: { level: 'error', access: log.path },
      tenants: ['acme', 'other'].map(id => ({
        id,
        hosts: [`${id}.test`],
        deployment: { endpoints: [deployment.url] },
      })),
    })
    const peer = await http2.client(proxy)
    for (const authority of ['acme.test', 'other.test', 'acme.test'])
      t.match(await outcomeOf(request(peer, { authority, path: '/x' })), /200/)
    const lines = await log.await('call', 3)
    t.same(
      lines.map(({ tenant: of, protocol, status, path }) => [of, protocol, status, path]),
      ['acme', 'other', 'acme'].map(of => [of, 'HTTP/2', 200, '/x']),
    )
    t.equal(new Set(lines.map(({ connection }) => connection)).size, 1)
    peer.abort('end')
    const [connection] = await log.await('connection', 1)
    t.match(connection, {
      protocol: 'HTTP/2',
      tenant: 'acme',
      calls: 3,
      connection: lines[0]?.connection,
    })
    const bytes = (name: 'ingress' | 'egress'): number =>
      lines.reduce((sum, line) => sum + Number(line[name]), 0)
    t.ok(
      Number(connection?.ingress) > bytes('ingress'),
      'its own frames are the connection’s alone',
    )
    t.ok(Number(connection?.egress) > bytes('egress'))
  },
)

await proxyTest(
  'of what went well a part is written, and of what did not all of it',
  async (t, lab) => {
    const log = new AccessLines(t)
    const deployment = await lab.deployment({ serve: answering(ok()) })
    const accessSampling = { calls: '25%', connections: '0%' }
    let chance = 0
    const proxy = await lab.proxy(
      {
        tenants: [tenant('acme', deployment)],
        log: { level: 'error', access: log.path, accessSampling },
      },
      { random: () => chance },
    )
    const client = await lab.client(proxy)
    for (const [path, at] of [
      ['/in', 0.24],
      ['/out', 0.25],
      ['/out', 0.99],
      ['/in', 0],
    ] as const) {
      chance = at
      await client.send(get(path))
      await readAnswer(client)
    }
    chance = 0.99
    await client.send('GET /bad HTTP/1.1\r\nhost: nobody.test\r\n\r\n')
    await readAnswer(client)
    client.end()
    const lines = await log.await('call', 3)
    t.same(
      lines.map(({ path, code, sample }) => [path, code, sample]),
      [
        ['/in', '', 0.25],
        ['/in', '', 0.25],
        ['/bad', 'unroutable', undefined],
      ],
    )
    t.same(log.of('connection'), [])
  },
)

await proxyTest('a line is of bounded length, whatever a client says', async (t, lab) => {
  const log = new AccessLines(t)
  const deployment = await lab.deployment({ serve: answering(ok()) })
  const proxy = await lab.forOne(deployment, { log: { level: 'error', access: log.path } })
  const client = await lab.client(proxy)
  await client.send(get(`/${'p'.repeat(7_000)}`, `x-request-id: ${'r'.repeat(128)}\r\n`))
  await readAnswer(client)
  const [line] = await log.await('call', 1)
  t.equal(line?.path, `/${'p'.repeat(1_023)}...`)
  t.ok(JSON.stringify(line).length < 4_096)
})

await http2Test(
  'W3C traceparent and tracestate are passed on as they came, and the trace is in the log',
  async (t, lab, http2) => {
    const log = new AccessLines(t)
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { log: { level: 'error', access: log.path } })
    const trace = '0af7651916cd43dd8448eb211c80319c'
    const fields = [
      ['traceparent', `00-${trace}-b7ad6b7169203331-01`],
      ['tracestate', 'vendor=1,other=2'],
    ] as const
    const client = await lab.client(proxy)
    await client.send(get('/1', fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')))
    const upstream = await deployment.next()
    const first = await upstream.readHead()
    await upstream.send(ok())
    await readAnswer(client)
    const peer = await http2.client(proxy)
    const more = fields.map(([name, value]): [string, string] => [name, value])
    const stream = request(peer, { path: '/2', more })
    const second = await upstream.readHead()
    await upstream.send(ok())
    await outcomeOf(stream)
    for (const head of [first, second])
      for (const [name, value] of fields) t.same(fieldsOf(head, name), [value])
    await client.send(get('/3', `traceparent: 00-${trace}"-b7ad6b7169203331-01\r\n`))
    await upstream.readHead()
    await upstream.send(ok())
    await readAnswer(client)
    const lines = await log.await('call', 3)
    t.same(
      lines.map(({ trace: of }) => of),
      [trace, trace, undefined],
    )
  },
)
