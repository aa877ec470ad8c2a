/** Endpoints `h2` and `h2c`: what is demanded of them, and what they are for a tunnel. */
import { TestAuthority } from '../support/certificates.ts'
import { codeOf, get, ok, proxyTest, readAnswer, tenant } from '../support/proxy-lab.ts'

/** Time that a deployment has to say what it speaks. */
const CONNECT = '300ms'

await proxyTest(
  'a deployment that does not agree to h2 by ALPN is 502 upstream_protocol, and sees nothing of the call',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const { cert, key } = await ca.server(['h2.test'], ['127.0.0.1'])
    for (const ALPNProtocols of [undefined, ['http/1.1']]) {
      const options = ALPNProtocols === undefined ? { cert, key } : { cert, key, ALPNProtocols }
      const deployment = await lab.deployment({ tls: options })
      const endpoints = [`h2://127.0.0.1:${deployment.port}`]
      const proxy = await lab.proxy({
        tenants: [
          tenant('acme', deployment, { deployment: { endpoints, tls: { ca: ca.certPath } } }),
        ],
      })
      const client = await lab.client(proxy)
      await client.send(get())
      const { status, body } = await readAnswer(client)
      t.equal(status, 502)
      t.equal(codeOf(body), 'upstream_protocol')
      t.ok(deployment.peers.every(peer => peer.total === 0))
      t.equal(proxy.rejected('upstream_protocol'), 1)
    }
  },
)

await proxyTest(
  'a wrong certificate of an h2 endpoint is 502 upstream_tls, as ever',
  async (t, lab) => {
    const ca = await TestAuthority.create(t)
    const { cert, key } = await ca.server(['other.test'])
    const deployment = await lab.deployment({ tls: { cert, key, ALPNProtocols: ['h2'] } })
    const endpoints = [`h2://127.0.0.1:${deployment.port}`]
    const proxy = await lab.proxy({
      tenants: [
        tenant('acme', deployment, { deployment: { endpoints, tls: { ca: ca.certPath } } }),
      ],
    })
    const client = await lab.client(proxy)
    await client.send(get())
    t.equal(codeOf((await readAnswer(client)).body), 'upstream_tls')
  },
)

await proxyTest(
  'an h2c endpoint that speaks something else is 502 upstream_protocol, and gets no call',
  async (t, lab) => {
    const seen: string[] = []
    const deployment = await lab.deployment({
      serve: async peer => {
        seen.push(await peer.readBytes(24))
        await peer.send('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n')
      },
    })
    const endpoints = [`h2c://127.0.0.1:${deployment.port}`]
    const proxy = await lab.proxy({
      tenants: [tenant('acme', deployment, { deployment: { endpoints } })],
    })
    const client = await lab.client(proxy)
    await client.send(get('/secret'))
    const { status, body } = await readAnswer(client)
    t.equal(status, 502)
    t.equal(codeOf(body), 'upstream_protocol')
    t.same(seen, ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'])
    t.equal(proxy.totals().calls, 0, 'it reached nobody')
  },
)

await proxyTest(
  'an h2c endpoint that accepts and says nothing is 504 upstream_connect_timeout',
  async (t, lab) => {
    const silent = await lab.deployment()
    const endpoints = [`h2c://127.0.0.1:${silent.port}`]
    const proxy = await lab.proxy({
      timeouts: { connect: CONNECT },
      tenants: [tenant('acme', silent, { deployment: { endpoints } })],
    })
    const client = await lab.client(proxy)
    await client.send(get())
    const { status, body } = await readAnswer(client)
    t.equal(status, 504)
    t.equal(codeOf(body), 'upstream_connect_timeout')
    t.equal(proxy.totals().calls, 0)
  },
)

await proxyTest('for a tunnel h2c is the same place as tcp, and h2 as tls', async (t, lab) => {
  const ca = await TestAuthority.create(t)
  const { cert, key } = await ca.server(['h2.test'], ['127.0.0.1'])
  for (const [scheme, options] of [
    ['h2c', {}],
    ['h2', { tls: { cert, key, ALPNProtocols: ['h2'] } }],
  ] as const) {
    const deployment = await lab.deployment(options)
    const endpoints = [`${scheme}://127.0.0.1:${deployment.port}`]
    const proxy = await lab.proxy({
      listeners: [{ name: 'public', mode: 'private', port: 0, protocol: 'tcp' }],
      tenants: [
        tenant('acme', deployment, {
          address: '127.0.0.1',
          deployment: { endpoints, ...(scheme === 'h2' ? { tls: { ca: ca.certPath } } : {}) },
        }),
      ],
    })
    const client = await lab.client(proxy)
    await client.send('as it came')
    const peer = await deployment.next()
    t.equal(await peer.readBytes(10), 'as it came', scheme)
    await peer.send(ok())
    t.equal((await readAnswer(client)).body, 'ok')
  }
})

for (const how of ['reset', 'end'] as const) {
  await proxyTest(
    `an h2c endpoint that accepts and dies with ${how} before it has said a word is 503 upstream_connect, and no usage`,
    async (t, lab) => {
      const dying = await lab.deployment({ serve: peer => peer[how]() })
      const proxy = await lab.proxy({
        tenants: [
          tenant('acme', dying, { deployment: { endpoints: [`h2c://127.0.0.1:${dying.port}`] } }),
        ],
      })
      const client = await lab.client(proxy)
      await client.send(get())
      const { status, body } = await readAnswer(client)
      t.equal(status, 503)
      t.equal(codeOf(body), 'upstream_connect')
      t.equal(proxy.rejected('upstream_connect'), 1)
      t.equal(proxy.totals().calls, 0)
    },
  )
}
