/** What one source address may do, whoever it is: connections at once and a second, handshakes at once, bad credentials. */
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { TestAuthority } from '../support/certificates.ts'
import { http2Test, outcomeOf, request } from '../support/http2/http2-lab.ts'
import { answering } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  eventually,
  fieldsOf,
  get,
  keyOf,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import { turns } from '../support/raw-client.ts'
import type { RunningProxy } from '../support/start-proxy.ts'
import { visit } from '../support/tls-visit.ts'

const OTHER = '127.0.0.2'
const BURST = 10
const CROWD = 12

const serving = async (
  lab: ProxyLab,
  sources: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Promise<RunningProxy> =>
  lab.forOne(await lab.deployment({ serve: answering(ok()) }), { sources, ...more })

/** The same at `public` over TLS, and at `plain` without, for acme and for `others`. */
async function securelyServing(
  t: Test,
  lab: ProxyLab,
  sources: Record<string, unknown>,
  others: readonly Record<string, unknown>[] = [],
): Promise<{ proxy: RunningProxy; ca: TestAuthority }> {
  const ca = await TestAuthority.create(t)
  const { certPath, keyPath } = await ca.server(['acme.test'])
  const tls = { certificates: [{ cert: certPath, key: keyPath }] }
  const deployment = await lab.deployment({ serve: answering(ok()) })
  const proxy = await lab.proxy({
    sources,
    listeners: [
      { name: 'public', mode: 'shared', address: '127.0.0.1:0', tls },
      { name: 'plain', mode: 'shared', address: '127.0.0.1:0' },
    ],
    tenants: [tenant('acme', deployment), ...others],
  })
  return { proxy, ca }
}

/** Status of a call, 0 where the connection is closed instead. */
async function statusOf(client: Peer, text = get()): Promise<number> {
  await client.send(text)
  await client.until(() => client.total > 0 || client.ended || client.closed, 'anything')
  return client.total > 0 ? (await readAnswer(client)).status : 0
}

/** A client that the proxy has let in. */
async function admitted(client: Peer): Promise<Peer> {
  const status = await statusOf(client)
  if (status !== 200) throw new Error(`answered ${status}`)
  return client
}

const BAD = `GET / HTTP/1.1\r\nhost: acme.test\r\nx-api-key: ${keyOf('nobody')}\r\n\r\n`

await proxyTest(
  'connections at once: one too many of an address is closed and counted, those of others are not',
  async (t, lab) => {
    const proxy = await serving(lab, { connections: 2 })
    const first = await admitted(await lab.client(proxy))
    await admitted(await lab.client(proxy))
    t.equal(await statusOf(await lab.client(proxy)), 0)
    t.equal(proxy.rejected('source_connections'), 1)
    await admitted(await lab.clientFrom(proxy, OTHER))
    first.reset()
    await eventually(() => proxy.worker.openConnections === 2)
    await admitted(await lab.client(proxy))
  },
)

await proxyTest(
  'connection churn: what ten seconds allow may come at once, the next is closed and counted',
  async (t, lab) => {
    const proxy = await serving(lab, { newConnections: '1/m' }, {})
    const statuses: number[] = []
    for (let i = 0; i < 3; i++) {
      const client = await lab.client(proxy)
      statuses.push(await statusOf(client, get('/', 'connection: close\r\n')))
      client.reset()
    }
    t.same(statuses, [200, 0, 0])
    t.equal(proxy.rejected('source_connection_rate'), 2)
    await admitted(await lab.clientFrom(proxy, OTHER))
  },
)

await proxyTest(
  'a flood of handshakes: those of an address at once are bounded, another address gets through',
  async (t, lab) => {
    const { proxy, ca } = await securelyServing(t, lab, { maxHandshakes: 3 })
    const flood: Peer[] = []
    for (let i = 0; i < 4; i++) flood.push(await lab.clientFrom(proxy, OTHER))
    const [last] = flood.slice(-1) as [Peer]
    await last.until(() => last.ended || last.closed, 'the refusal')
    t.equal(proxy.rejected('source_handshakes'), 1)
    t.match((await visit(proxy.port('public'), { ca: ca.cert })).text, /^HTTP\/1\.1 200/)
    for (const client of flood) client.reset()
    await eventually(() => proxy.worker.openConnections === 0)
    // Handshakes that failed, and those that came to an end, have given their places back.
    for (let i = 0; i < 5; i++)
      t.match(
        (await visit(proxy.port('public'), { ca: ca.cert, from: OTHER })).text,
        /^HTTP\/1\.1 200/,
      )
  },
)

for (const [how, others] of [
  ['', []],
  [
    ', also where some tenant ends TLS itself',
    [
      {
        id: 'ends-tls-itself',
        hosts: ['itself.test'],
        passthrough: true,
        deployment: { endpoints: ['tcp://127.0.0.1:9'] },
      },
    ],
  ],
] as const)
  await proxyTest(
    `a flood of new TLS connections: beyond the handshakes of ten seconds they are closed before a byte of them is read${how}`,
    async (t, lab) => {
      const { proxy, ca } = await securelyServing(t, lab, { newHandshakes: '12/m' }, others)
      const visits: string[] = []
      for (let i = 0; i < 4; i++)
        visits.push((await visit(proxy.port('public'), { ca: ca.cert, from: OTHER })).text)
      t.match(visits, [/^HTTP\/1\.1 200/, /^HTTP\/1\.1 200/, '', ''])
      t.equal(proxy.rejected('source_handshake_rate'), 2)
      t.match((await visit(proxy.port('public'), { ca: ca.cert })).text, /^HTTP\/1\.1 200/)
      const plain = await lab.clientFrom(proxy, OTHER, 'plain')
      t.equal(await statusOf(plain), 200, 'without TLS there is no handshake')
      const waiting = await lab.clientFrom(proxy, OTHER)
      await waiting.until(() => waiting.ended || waiting.closed, 'the end, before it says a word')
      t.equal(proxy.rejected('source_handshake_rate'), 3)
    },
  )

await proxyTest(
  'a connection over TLS is one until it is closed, and no longer',
  async (t, lab) => {
    const { proxy, ca } = await securelyServing(t, lab, { connections: 1 })
    const first = await lab.tlsClient(proxy, { ca: ca.cert, servername: 'acme.test' })
    t.equal(await statusOf(first), 200)
    t.equal((await visit(proxy.port('public'), { ca: ca.cert })).text, '')
    first.end()
    await first.until(() => first.ended, 'the end')
    await eventually(() => proxy.worker.openConnections === 0)
    t.match((await visit(proxy.port('public'), { ca: ca.cert })).text, /^HTTP\/1\.1 200/)
  },
)

await proxyTest(
  'a flood of bad credentials: each has its answer, and its connection then waits for a second, which good ones do not',
  async (t, lab) => {
    const proxy = await serving(lab, { badCredentials: '1/s' })
    const good = await admitted(await lab.client(proxy))
    const bad = await lab.client(proxy)
    const answeredIn = async (peer: Peer): Promise<number> => {
      const begun = performance.now()
      await peer.send(BAD)
      const { status, body, head } = await readAnswer(peer)
      t.equal(status, 401)
      t.equal(codeOf(body), 'credential_invalid')
      t.notMatch(head, /connection: close/i)
      return performance.now() - begun
    }
    for (let i = 0; i < BURST; i++) await answeredIn(bad)
    t.equal(proxy.rejected('source_credentials'), 0)
    await answeredIn(bad)
    t.equal(proxy.rejected('source_credentials'), 1)
    const other = await lab.clientFrom(proxy, OTHER)
    const again = await lab.client(proxy)
    await good.send(get())
    good.take()
    const late = answeredIn(bad)
    t.equal((await readAnswer(good)).status, 200, 'a good one of the same address')
    await answeredIn(again)
    t.equal(proxy.rejected('source_credentials'), 2, 'on a new connection, too')
    await answeredIn(other)
    t.equal(proxy.rejected('source_credentials'), 2, 'another address')
    // By the clock, since that is what it is about; the call before it came some moments earlier.
    t.ok((await late) > 800, 'what comes behind one too many')
    t.equal(proxy.rejected('credential_invalid'), BURST + 4)
  },
)

await proxyTest(
  'a flood of bad credentials over many connections: they come back one after the other, and not all at once',
  async (t, lab) => {
    const proxy = await serving(lab, { badCredentials: '1/m' })
    const flood: Peer[] = []
    for (let i = 0; i < CROWD; i++) flood.push(await lab.client(proxy))
    for (const client of flood) {
      await client.send(BAD)
      await readAnswer(client)
    }
    let inTurn = 0
    let most = 0
    const away = new Set(flood)
    for (const client of flood)
      client.socket.once('data', () => {
        away.delete(client)
        inTurn += 1
        most = Math.max(most, inTurn)
      })
    for (const client of flood) await client.send(BAD)
    t.equal(away.size, CROWD, 'their calls wait')
    while (away.size > 0) {
      inTurn = 0
      await turns(1)
    }
    t.ok(most <= 2, `${most} in a turn of the event loop`)
    t.equal(proxy.rejected('credential_invalid'), 2 * CROWD)
  },
)

await proxyTest(
  'the body of one too many is read on, what came behind it waits, and a client that leaves is gone',
  async (t, lab) => {
    const proxy = await serving(lab, { badCredentials: '1/m' })
    const client = await lab.client(proxy)
    const long = BAD.replace('GET', 'POST').replace(/\r\n$/, 'content-length: 20000\r\n\r\n')
    await client.send(`${BAD}${long}${'x'.repeat(10_000)}`)
    for (let i = 0; i < 2; i++) t.equal((await readAnswer(client)).status, 401)
    t.equal(proxy.rejected('source_credentials'), 1)
    await client.send(`${'x'.repeat(10_000)}${BAD}`)
    t.equal((await readAnswer(client)).status, 401, 'the last one')
    t.equal(proxy.rejected('source_credentials'), 2)
    client.destroy()
    await eventually(() => proxy.worker.openConnections === 0)
  },
)

await proxyTest('calls without any credential count as bad ones', async (t, lab) => {
  const proxy = await serving(lab, { badCredentials: '1/s' })
  const client = await lab.client(proxy)
  for (let i = 0; i <= BURST; i++) {
    await client.send('GET / HTTP/1.1\r\nhost: nobody.test\r\n\r\n')
    t.equal(codeOf((await readAnswer(client)).body), 'unroutable')
  }
  t.equal(proxy.rejected('source_credentials'), 1)
})

await http2Test(
  'a flood of bad credentials over HTTP/2: no further streams, the running one comes to its end',
  async (t, lab, http2) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { sources: { badCredentials: '1/s' } })
    const client = await http2.client(proxy)
    const running = request(client)
    const upstream = await deployment.next()
    await upstream.readHead()
    const bad = { more: [['x-api-key', keyOf('nobody')]] as const }
    for (let i = 0; i <= BURST; i++)
      t.match(await outcomeOf(request(client, bad)), /^401 .*credential_invalid/)
    await eventually(() => client.goneAway !== undefined)
    t.equal(client.goneAways.length, 1, 'at once')
    t.equal(client.goneAway?.code, 0)
    t.equal(proxy.rejected('source_credentials'), 1)
    const late = request(client, bad)
    await upstream.send(ok('late'))
    t.equal(await outcomeOf(running), '200 late')
    await eventually(() => client.over)
    t.ok(client.over, 'and then the connection ends')
    t.equal(late.status, 0, 'what came behind it is not looked at')
    t.equal(proxy.rejected('credential_invalid'), BURST + 1)
  },
)

await proxyTest('trusted proxies speak for many, and have no limits', async (t, lab) => {
  const sources = { connections: 1, newConnections: '1/m', badCredentials: '1/m' }
  const proxy = await serving(lab, sources, { trustedProxies: [OTHER] })
  for (let i = 0; i < 5; i++) {
    const client = await lab.clientFrom(proxy, OTHER)
    await client.send(BAD)
    t.same(fieldsOf((await readAnswer(client)).head, 'connection'), [])
  }
  t.equal(proxy.rejected('source_credentials'), 0)
})

await proxyTest(
  'behind a balancer the address in the PROXY header counts, of IPv6 its /64',
  async (t, lab) => {
    const proxy = await serving(
      lab,
      { connections: 1 },
      {
        listeners: [
          { name: 'public', mode: 'shared', address: '127.0.0.1:0', proxyProtocol: 'required' },
        ],
        trustedProxies: ['127.0.0.1'],
      },
    )
    const from = async (family: string, source: string, to: string): Promise<number> =>
      statusOf(await lab.client(proxy), `PROXY ${family} ${source} ${to} 1000 443\r\n${get()}`)
    t.equal(await from('TCP4', '192.0.2.1', '192.0.2.9'), 200)
    t.equal(await from('TCP4', '192.0.2.1', '192.0.2.9'), 0)
    t.equal(await from('TCP4', '192.0.2.2', '192.0.2.9'), 200)
    t.equal(await from('TCP6', '2001:db8::1', '2001:db8::9'), 200)
    t.equal(await from('TCP6', '2001:db8::ffff:1', '2001:db8::9'), 0, 'the same /64')
    t.equal(await from('TCP6', '2001:db8:0:1::1', '2001:db8::9'), 200, 'another one')
    t.equal(proxy.rejected('source_connections'), 2)
  },
)

await proxyTest('a source is one on all listeners together', async (t, lab) => {
  const shared = { mode: 'shared', address: '127.0.0.1:0' }
  const listeners = [
    { name: 'public', ...shared },
    { name: 'second', ...shared },
  ]
  const proxy = await serving(lab, { connections: 1 }, { listeners })
  await admitted(await lab.client(proxy))
  t.equal(await statusOf(await lab.client(proxy, 'second')), 0)
})

await proxyTest('all of it can be off', async (t, lab) => {
  const off = { connections: 'off', newConnections: 'off', badCredentials: 'off' }
  const proxy = await serving(lab, { ...off, maxHandshakes: 'off' })
  const client = await lab.client(proxy)
  for (let i = 0; i < 300; i++) {
    await client.send(BAD)
    t.equal((await readAnswer(client)).status, 401)
  }
})

/** Where the kernel shows its sockets and their timers; only Linux does. */
const SOCKETS = '/proc/net/tcp'

await proxyTest(
  'half-open connections: a client that is silent is asked by TCP whether it is there',
  async (t, lab) => {
    if (process.platform !== 'linux') {
      t.comment(`${SOCKETS} is of Linux`)
      return
    }
    for (const [probe, timer] of [
      ['10s', '02'],
      ['off', '00'],
    ]) {
      const proxy = await serving(lab, {}, { timeouts: { probe } })
      const client = await admitted(await lab.client(proxy))
      const place = (port: number | undefined): string =>
        `0100007F:${(port ?? 0).toString(16).toUpperCase().padStart(4, '0')}`
      const pair = `${place(proxy.port('public'))} ${place(client.socket.localPort)} 01`
      // What is to be acknowledged has a timer of its own.
      await eventually(() => timerOf(pair) === timer)
      t.equal(timerOf(pair), timer, `probe: ${probe}`)
    }
  },
)

/** The timer of a socket: 02 is that of the keep-alive, 00 none. */
function timerOf(pair: string): string | undefined {
  const line = readFileSync(SOCKETS, 'utf8')
    .split('\n')
    .find(each => each.includes(pair))
  return line === undefined ? undefined : /\S+:\S+ (\d\d):\S+ /.exec(line.split(pair)[1] ?? '')?.[1]
}
