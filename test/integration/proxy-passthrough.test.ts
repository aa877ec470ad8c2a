/** Tenants that bring their own TLS: a name in a ClientHello leads to them, and nobody but they end it. */
import { once } from 'node:events'
import tls from 'node:tls'
import type { Test } from 'tap'
import { type CertificateFiles, TestAuthority } from '../support/certificates.ts'
import { helloFor, helloLikeChrome, helloMessage, inRecords } from '../support/client-hellos.ts'
import type { ManualDeployment } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import { awsLink, proxyV2, tlv } from '../support/proxy-header.ts'
import {
  codeOf,
  eventually,
  get,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import { proxyConfig, type RunningProxy } from '../support/start-proxy.ts'

const UNRECOGNIZED_NAME = '\x15\x03\x03\x00\x02\x02\x70'
const DECODE_ERROR = '\x15\x03\x03\x00\x02\x02\x32'

/** `own` ends TLS itself, `acme` does not. */
interface World {
  readonly proxy: RunningProxy
  readonly own: ManualDeployment
  readonly acme: ManualDeployment
  readonly ca: TestAuthority
}

function passthrough(
  id: string,
  deployment: ManualDeployment,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    id,
    hosts: [`${id}.test`, `*.${id}.test`],
    passthrough: true,
    deployment: { endpoints: [`tcp://127.0.0.1:${deployment.port}`] },
    ...more,
  }
}

interface Settings {
  /** Undefined: no TLS on the listener. */
  readonly tls?: boolean
  readonly protocol?: string
  readonly ownTls?: CertificateFiles
  readonly more?: Record<string, unknown>
}

async function world(t: Test, lab: ProxyLab, settings: Settings = {}): Promise<World> {
  const ca = await TestAuthority.create(t)
  const server = await ca.server(['acme.test', 'service.test'])
  const certificates = [{ cert: server.certPath, key: server.keyPath }]
  const own = await lab.deployment(
    settings.ownTls === undefined
      ? {}
      : { tls: { cert: settings.ownTls.cert, key: settings.ownTls.key } },
  )
  const acme = await lab.deployment()
  const proxy = await lab.proxy({
    listeners: [
      {
        name: 'public',
        mode: 'shared',
        address: '127.0.0.1:0',
        protocol: settings.protocol ?? 'auto',
        ...(settings.tls === true ? { tls: { certificates } } : {}),
      },
    ],
    tenants: [passthrough('own', own), tenant('acme', acme)],
    timeouts: { handshake: '300ms', detect: '150ms' },
    ...settings.more,
  })
  return { proxy, own, acme, ca }
}

async function closed(client: Peer): Promise<string> {
  await client.until(() => client.ended || client.closed, 'the close')
  return client.text
}

for (const [name, settings] of [
  ['with TLS', { tls: true }],
  ['with TLS, for HTTP', { tls: true, protocol: 'http' }],
  ['with TLS, for TCP', { tls: true, protocol: 'tcp' }],
  ['without TLS', {}],
  ['without TLS, for TCP', { protocol: 'tcp' }],
] as const) {
  await proxyTest(
    `a listener ${name} carries TLS to a tenant with passthrough as it is, cut or whole`,
    async (t, lab) => {
      const { proxy, own, acme } = await world(t, lab, settings)
      const hello = helloLikeChrome('OWN.test')
      for (const at of [0, 1, 2, 5, 6, 9, 200, hello.length - 1]) {
        const client = await lab.client(proxy)
        if (at > 0) {
          await client.send(hello.subarray(0, at))
          await new Promise(resolve => setImmediate(resolve))
        }
        await client.send(hello.subarray(at))
        const upstream = await own.next()
        t.equal(await upstream.readBytes(hello.length), hello.toString('latin1'), `cut at ${at}`)
        await upstream.send('\x16\x03\x03\x00\x02 an answer!')
        t.equal(await client.readBytes(16), '\x16\x03\x03\x00\x02 an answer!')
        client.reset()
        await upstream.gone()
      }
      const totals = proxy.totals(({ tenant: id }) => id === 'own')
      t.equal(
        totals.ingress,
        8 * hello.length,
        'each byte of the client is counted, as one of a tunnel',
      )
      t.equal(totals.egress, 8 * 16)
      t.equal(totals.connections, 8)
      t.equal(acme.peers.length, 0)
    },
  )
}

await proxyTest(
  'handshakes with a tenant that ends TLS itself and with us, side by side on one listener',
  async (t, lab) => {
    const theirs = await TestAuthority.create(t)
    const ownTls = await theirs.server(['own.test', '*.own.test'])
    const { proxy, own, acme, ca } = await world(t, lab, { tls: true, ownTls })
    const [toOwn, toAcme] = await Promise.all([
      lab.tlsClient(proxy, { ca: theirs.cert, servername: 'www.own.test' }),
      lab.tlsClient(proxy, { ca: ca.cert, servername: 'acme.test' }),
    ])
    await toOwn.send('for own')
    t.equal(await (await own.next()).readBytes(7), 'for own')
    await toAcme.send(get())
    const upstream = await acme.next()
    t.match(await upstream.readHead(), 'GET / HTTP/1.1')
    await upstream.send(ok('of acme'))
    t.equal((await readAnswer(toAcme)).body, 'of acme')
    const counted = proxy.totals(({ tenant: id }) => id === 'own')
    t.equal(counted.calls, 0)
    t.ok(counted.ingress > 7 && counted.egress > 500, 'the handshake is part of the tunnel')
  },
)

await proxyTest(
  'exact before the longest wildcard, in any case, with the dot of the root, never with a port or as an address',
  async (t, lab) => {
    const exact = await lab.deployment()
    const long = await lab.deployment()
    const short = await lab.deployment()
    const proxy = await lab.proxy({
      tenants: [
        passthrough('exact', exact, { hosts: ['www.shop.example'] }),
        passthrough('long', long, { hosts: ['*.shop.example', 'xn--mnchen-3ya.example'] }),
        passthrough('short', short, { hosts: ['*.example'] }),
      ],
    })
    for (const [name, owner] of [
      ['www.shop.example', exact],
      ['WWW.Shop.Example', exact],
      ['www.shop.example.', exact],
      ['a.shop.example', long],
      ['a.b.www.shop.example', long],
      ['shop.example', short],
      ['XN--MNCHEN-3YA.example', long],
      ['m\xc3\xbcnchen.example', short],
    ] as const) {
      // A name in UTF-8 is no name (RFC 6066 §3), and so nobody's, whatever it lies under.
      const isAscii = /^[\0-\x7f]*$/.test(name)
      const client = await lab.client(proxy)
      await client.send(helloFor(name))
      if (isAscii) await (await owner.next()).readBytes(helloFor(name).length)
      else t.equal(await closed(client), UNRECOGNIZED_NAME, name)
      client.reset()
    }
    for (const name of [
      'example',
      '.example',
      'www.shop.example:443',
      '127.0.0.1',
      '::1',
      'other',
    ]) {
      const client = await lab.client(proxy)
      await client.send(helloFor(name))
      t.equal(await closed(client), UNRECOGNIZED_NAME, name)
    }
    t.same(
      [exact, long, short].map(({ peers }) => peers.length),
      [3, 3, 1],
    )
  },
)

await proxyTest(
  'without TLS on the listener other names are refused as unroutable, with an alert',
  async (t, lab) => {
    const { proxy, own, acme } = await world(t, lab)
    const noName = inRecords(helloMessage({ extensions: [] }))
    for (const hello of [helloFor('acme.test'), helloFor('nobody.test'), noName]) {
      const client = await lab.client(proxy)
      await client.send(hello)
      t.equal(await closed(client), UNRECOGNIZED_NAME)
    }
    t.equal(proxy.rejected('unroutable'), 3)
    t.equal(own.peers.length + acme.peers.length, 0)
  },
)

await proxyTest('plain HTTP is served as ever beside tenants with passthrough', async (t, lab) => {
  const { proxy, acme } = await world(t, lab)
  for (const at of [0, 1, 3]) {
    const client = await lab.client(proxy)
    if (at > 0) await client.send(get().slice(0, at))
    await client.send(get().slice(at))
    const upstream = acme.peers[0] ?? (await acme.next())
    await upstream.readHead()
    await upstream.send(ok('plain'))
    t.equal((await readAnswer(client)).body, 'plain')
    client.reset()
  }
})

for (const tlsHere of [true, false]) {
  const where = tlsHere ? 'with TLS' : 'without TLS'
  await proxyTest(
    `a client that is silent or trickles on a listener ${where} is closed, and sent nowhere`,
    async (t, lab) => {
      const { proxy, own, acme } = await world(t, lab, { tls: tlsHere })
      const hello = helloFor('own.test')
      for (const begin of [
        Buffer.alloc(0),
        hello.subarray(0, 1),
        hello.subarray(0, hello.length - 1),
      ]) {
        const client = await lab.client(proxy)
        if (begin.length > 0) await client.send(begin)
        t.equal(await closed(client), '')
      }
      const trickling = await lab.client(proxy)
      for (let at = 0; !trickling.ended && !trickling.closed && at < hello.length - 1; at++) {
        await trickling.send(hello.subarray(at, at + 1))
        await new Promise(resolve => setTimeout(resolve, 20))
      }
      t.ok(trickling.ended || trickling.closed, 'each byte does not give it new time')
      await eventually(() => proxy.rejected() === 4)
      t.equal(proxy.rejected(tlsHere ? 'tls_handshake_failed' : 'unroutable'), 4)
      t.equal(own.peers.length + acme.peers.length, 0)
    },
  )

  await proxyTest(
    `a ClientHello that breaks the rules, or of SSL 2.0, is refused on a listener ${where}`,
    async (t, lab) => {
      const { proxy, own, acme } = await world(t, lab, { tls: tlsHere })
      const twoNames = inRecords(
        helloMessage({
          extensions: ['own.test', 'acme.test'].map(name =>
            helloFor(name).subarray(helloFor(name).length - 4 - 5 - name.length),
          ),
        }),
      )
      const client = await lab.client(proxy)
      await client.send(twoNames)
      t.equal(await closed(client), DECODE_ERROR)
      const old = await lab.client(proxy)
      await old.send(Buffer.from('802e0103010015000000100000050000040000', 'hex'))
      await closed(old)
      await eventually(() => proxy.rejected() === 2)
      t.equal(proxy.rejected(), 2)
      t.equal(own.peers.length + acme.peers.length, 0)
    },
  )

  await proxyTest(
    `a connection that waits for its ClientHello on a listener ${where} ends with the worker`,
    async (t, lab) => {
      const { proxy } = await world(t, lab, {
        tls: tlsHere,
        more: { timeouts: { handshake: '1h', detect: '1h' } },
      })
      const client = await lab.client(proxy)
      await client.send(helloFor('own.test').subarray(0, 20))
      await eventually(() => proxy.worker.openConnections === 1)
      t.equal(proxy.worker.openConnections, 1)
      await proxy.worker.drain()
      await closed(client)
    },
  )
}

await proxyTest(
  'the name of a tenant with passthrough is never ended by us, and its Host is misdirected',
  async (t, lab) => {
    const { proxy, own, acme, ca } = await world(t, lab, { tls: true })
    // Its deployment is a manual one that answers no handshake: with our certificate there would be one.
    const raw = await lab.client(proxy)
    raw.socket.removeAllListeners('data')
    const attempt = tls.connect({ socket: raw.socket, ca: ca.cert, servername: 'own.test' })
    const failed = once(attempt, 'secureConnect').then(
      () => false,
      () => true,
    )
    const upstream = await own.next()
    await upstream.until(() => upstream.total > 0, 'the ClientHello')
    upstream.reset()
    t.ok(await failed)
    for (const [servername, host] of [
      ['service.test', 'own.test'],
      ['service.test', 'www.own.test'],
      ['acme.test', 'own.test'],
    ] as const) {
      const client = await lab.tlsClient(proxy, { ca: ca.cert, servername })
      await client.send(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
      const { status, body } = await readAnswer(client)
      t.equal(status, 421, `${host} through ${servername}`)
      t.equal(codeOf(body), 'misdirected_request')
    }
    t.equal(own.peers.length, 1)
    t.equal(acme.peers.length, 0)
  },
)

await proxyTest(
  'plain HTTP to the Host of a tenant with passthrough is misdirected: it is served with TLS alone',
  async (t, lab) => {
    const { proxy, own } = await world(t, lab)
    const client = await lab.client(proxy)
    await client.send('GET / HTTP/1.1\r\nhost: own.test\r\n\r\n')
    t.equal((await readAnswer(client)).status, 421)
    t.equal(own.peers.length, 0)
  },
)

await proxyTest(
  'on its own address a tenant with passthrough gets all as it is, and no other name',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const server = await ca.server(['acme.test'])
    const own = await lab.deployment()
    const acme = await lab.deployment()
    const proxy = await lab.proxy({
      listeners: [
        {
          name: 'private',
          mode: 'private',
          port: 0,
          bind: 'each',
          tls: { certificates: [{ cert: server.certPath, key: server.keyPath }] },
        },
      ],
      tenants: [
        passthrough('own', own, { address: '127.0.0.1' }),
        tenant('acme', acme, { address: '127.0.1.2' }),
      ],
    })
    const portOf = (id: string): number =>
      Number(
        proxy.bound
          .find(bound => bound.tenant === id)
          ?.address.split(':')
          .at(-1),
      )
    for (const text of [helloFor('any.test').toString('latin1'), '*1\r\n$4\r\nPING\r\n']) {
      const client = await lab.clientAt(portOf('own'), '127.0.0.1')
      await client.send(text)
      t.equal(await (await own.next()).readBytes(text.length), text)
      client.reset()
    }
    const stranger = await lab.clientAt(portOf('acme'), '127.0.1.2')
    await stranger.send(helloFor('own.test'))
    t.equal(await closed(stranger), '', 'the name of own at the address of acme')
    t.equal(proxy.rejected('tenant_mismatch'), 1)
    t.equal(own.peers.length, 2)
    t.equal(acme.peers.length, 0)
  },
)

await proxyTest(
  'a PROXY header may stand before a ClientHello that is carried on, and is not part of it',
  async (t, lab) => {
    const own = await lab.deployment()
    const proxy = await lab.proxy({
      listeners: [
        { name: 'public', mode: 'shared', address: '127.0.0.1:0', proxyProtocol: 'required' },
      ],
      tenants: [passthrough('own', own)],
      trustedProxies: ['127.0.0.1'],
    })
    const hello = helloFor('own.test')
    const client = await lab.client(proxy)
    await client.send(
      Buffer.concat([Buffer.from('PROXY TCP4 10.1.2.3 10.0.0.1 12345 443\r\n'), hello]),
    )
    t.equal(await (await own.next()).readBytes(hello.length), hello.toString('latin1'))
  },
)

await proxyTest(
  'through its private link a tenant with passthrough gets all as it is, unless its TLS was ended at the balancer',
  async (t, lab) => {
    const own = await lab.deployment()
    const acme = await lab.deployment()
    const link = { privateLink: { aws: 'vpce-0123456789abcdef0' } }
    const proxy = await lab.proxy({
      listeners: [
        { name: 'public', mode: 'shared', address: '127.0.0.1:0', proxyProtocol: 'required' },
      ],
      tenants: [passthrough('own', own, { credentials: [link] }), tenant('acme', acme)],
      trustedProxies: ['127.0.0.1'],
    })
    const ours = awsLink(link.privateLink.aws)
    for (const text of [helloFor('any.test').toString('latin1'), get()]) {
      const client = await lab.client(proxy)
      await client.send(Buffer.concat([proxyV2({ tlvs: [ours] }), Buffer.from(text, 'latin1')]))
      t.equal(await (await own.next()).readBytes(text.length), text)
      client.reset()
    }
    const ended = tlv(0x20, Buffer.from('0100000000', 'hex'))
    for (const [tlvs, reason] of [
      [[ours, ended], 'misdirected_request'],
      [[ours, tlv(0x02, 'acme.test')], 'tenant_mismatch'],
      [[ended, tlv(0x02, 'own.test')], 'misdirected_request'],
    ] as const) {
      const client = await lab.client(proxy)
      const before = proxy.rejected(reason)
      await client.send(Buffer.concat([proxyV2({ tlvs }), Buffer.from('*1\r\n')]))
      await closed(client)
      t.equal(proxy.rejected(reason), before + 1)
    }
    t.equal(own.peers.length, 2)
    t.equal(acme.peers.length, 0)
  },
)

await proxyTest('a disabled tenant with passthrough gets nothing', async (t, lab) => {
  const own = await lab.deployment()
  const proxy = await lab.proxy({ tenants: [passthrough('own', own, { disabled: true })] })
  const client = await lab.client(proxy)
  await client.send(helloFor('own.test'))
  t.equal(await closed(client), '')
  t.equal(proxy.rejected('tenant_disabled'), 1)
  t.equal(own.peers.length, 0)
})

await proxyTest(
  'a name that becomes that of a tenant with passthrough, and ceases to be, while the proxy runs',
  async (t, lab) => {
    const { proxy, own, acme, ca } = await world(t, lab, {
      tls: true,
      more: { tenants: [] },
    })
    const change = async (generation: number, tenants: readonly object[]): Promise<void> => {
      const listeners = [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }]
      const { tenants: parsed, limits } = proxyConfig({ listeners, tenants })
      t.same(await proxy.change(parsed, limits, generation), [])
    }
    const call = 'GET / HTTP/1.1\r\nhost: own.test\r\n\r\n'
    const options = { ca: ca.cert, servername: 'own.test', checkServerIdentity: () => undefined }
    await change(2, [tenant('acme', acme)])
    const ended = await lab.tlsClient(proxy, options)
    await ended.send(call)
    t.equal(codeOf((await readAnswer(ended)).body), 'unroutable')
    await change(3, [tenant('acme', acme), passthrough('own', own)])
    await ended.send(call)
    t.equal(codeOf((await readAnswer(ended)).body), 'misdirected_request', 'TLS was ended here')
    const hello = helloFor('own.test')
    const carried = await lab.client(proxy)
    await carried.send(hello)
    const upstream = await own.next()
    t.equal(await upstream.readBytes(hello.length), hello.toString('latin1'))
    await change(4, [tenant('acme', acme)])
    await carried.send('goes on')
    t.equal(await upstream.readBytes(7), 'goes on', 'a tunnel has no other moment')
    const again = await lab.tlsClient(proxy, options)
    await again.send(call)
    t.equal(codeOf((await readAnswer(again)).body), 'unroutable')
    t.equal(own.peers.length, 1)
  },
)

await proxyTest('what a client sends behind its ClientHello follows it', async (t, lab) => {
  const { proxy, own } = await world(t, lab, { tls: true })
  const client = await lab.client(proxy)
  const hello = helloFor('own.test').toString('latin1')
  await client.send(`${hello}early`)
  client.end()
  const upstream = await own.next()
  t.equal(await upstream.readToEnd(), `${hello}early`, 'with its half-close')
  await upstream.send('last words')
  upstream.end()
  t.equal(await client.readToEnd(), 'last words')
  await once(client.socket, 'close')
})
