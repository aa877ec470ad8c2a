/** Whose call is it, over HTTP/2: every kind of evidence, call for call on one connection, and what contradicts itself. */

import { once } from 'node:events'
import { connect } from 'node:tls'
import { type Test, test } from 'tap'
import { type CertificateFiles, TestAuthority } from '../support/certificates.ts'
import { type Call, type CallClient, problemOf, valuesOf } from '../support/http2/call.ts'
import { startDeployment } from '../support/http2/deployment.ts'
import { Http1Client } from '../support/http2/http1-client.ts'
import { Http2Client } from '../support/http2/http2-client.ts'
import { as, mixTest, reportOf } from '../support/http2/mixes.ts'
import { keyOf, ProxyLab, tenant } from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'
import { ec, ISSUER, NOW, token } from '../support/token-attacks/parties.ts'

/** Who has answered, or why nobody did. */
async function ask(client: CallClient, call: Call): Promise<string> {
  const answer = await client.call({ path: '/report', ...call })
  if (answer.status !== 200) return `${answer.status} ${problemOf(answer)}`
  const report = reportOf(answer)
  const tenants = valuesOf(report.fields, 'x-amt-tenant').join()
  return report.from === tenants ? report.from : `${report.from} as ${tenants}`
}

interface World {
  readonly lab: ProxyLab
  readonly ca: TestAuthority
  readonly proxy: RunningProxy
  readonly client: (options?: {
    readonly servername?: string
    readonly certificate?: CertificateFiles
  }) => Promise<Http2Client>
}

/** TLS with client certificates where somebody has one; tokens; both tenants with a deployment of HTTP/2. */
async function world(t: Test, lab: ProxyLab, more: Record<string, unknown> = {}): Promise<World> {
  const ca = await TestAuthority.create(t)
  const names = ['service.test', 'acme.test', 'globex.test']
  const { certPath: cert, keyPath: key } = await ca.server(names, ['127.0.0.1'])
  const folder = t.testdir({ 'jwks.json': JSON.stringify({ keys: [ec.jwk] }) })
  const at = async (id: string): Promise<Record<string, unknown>> => {
    const deployment = await startDeployment(t, id, { version: 2 })
    const credentials = [
      ...(tenant(id, deployment)['credentials'] as object[]),
      { spiffe: `spiffe://example.org/tenant/${id}` },
    ]
    return tenant(id, deployment, { credentials, deployment: { endpoints: [deployment.endpoint] } })
  }
  const proxy = await lab.proxy({
    listeners: [
      {
        name: 'public',
        mode: 'shared',
        address: '127.0.0.1:0',
        tls: {
          certificates: [{ cert, key }],
          clientCertificate: 'optional',
          clientCa: ca.certPath,
        },
      },
      { name: 'plain', mode: 'shared', address: '127.0.0.1:0' },
    ],
    authentication: {
      spiffe: { trustDomain: 'example.org' },
      jwt: [{ issuer: ISSUER, audiences: ['orders'], jwks: `${folder}/jwks.json` }],
    },
    tenants: [await at('acme'), await at('globex'), { ...(await at('away')), disabled: true }],
    ...more,
  })
  return {
    lab,
    ca,
    proxy,
    client: async ({ servername = 'service.test', certificate } = {}) => {
      const own = certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key }
      const client = await Http2Client.connect(proxy.port('public'), {
        servername,
        ca: ca.cert,
        ...own,
      })
      lab.closing(async () => client.close())
      return client
    },
  }
}

async function identityTest(
  name: string,
  body: (t: Test, world: World) => Promise<void>,
): Promise<void> {
  await test(name, async t => {
    const lab = new ProxyLab()
    try {
      await body(t, await world(t, lab))
    } finally {
      await lab.close(t)
    }
  })
}

await identityTest('key, token and name, all at once on one connection', async (t, { client }) => {
  const one = await client()
  const bearer = (tenant: string): Call => ({
    fields: { authorization: `Bearer ${token({ claims: { tenant } })}` },
  })
  const asks: [Call, string][] = [
    [as('acme'), 'acme'],
    [as('globex'), 'globex'],
    [{ fields: { authorization: `ApiKey ${keyOf('globex')}` } }, 'globex'],
    [bearer('acme'), 'acme'],
    [bearer('globex'), 'globex'],
    [{ fields: {} }, '401 unroutable'],
    [as('away'), '403 tenant_disabled'],
    [bearer('nobody'), '401 credential_invalid'],
    [
      { fields: { authorization: `Bearer ${token({ claims: { exp: NOW - 3_600 } })}` } },
      '401 credential_expired',
    ],
    [{ fields: { 'x-api-key': [keyOf('acme'), keyOf('acme')] } }, '400 credential_ambiguous'],
    [{ fields: { ...bearer('acme').fields, 'x-api-key': keyOf('globex') } }, '403 tenant_mismatch'],
  ]
  const answers = await Promise.all(asks.map(async ([call]) => ask(one, call)))
  t.same(
    answers,
    asks.map(([, expected]) => expected),
  )
  t.same(one.goaways, [], 'nothing of it ends the connection')
})

await identityTest('a name that is of one tenant', async (t, { lab, proxy, client }) => {
  const acme = await client({ servername: 'acme.test' })
  t.equal(await ask(acme, { host: 'acme.test' }), 'acme')
  t.equal(await ask(acme, { host: 'ACME.test:443' }), 'acme')
  t.equal(await ask(acme, { ...as('globex'), host: 'acme.test' }), '403 tenant_mismatch')
  t.equal(await ask(acme, { host: 'globex.test' }), '421 misdirected_request')
  t.equal(await ask(acme, { ...as('globex'), host: 'globex.test' }), '421 misdirected_request')
  t.equal(await ask(acme, { host: 'acme.test' }), 'acme', 'and the connection is as good as before')
  const plain = await Http2Client.connect(proxy.port('plain'))
  lab.closing(async () => plain.close())
  for (const id of ['acme', 'globex']) t.equal(await ask(plain, { host: `${id}.test` }), id)
  t.equal(await ask(plain, { host: 'nobody.test' }), '401 unroutable')
})

await identityTest(
  'a client certificate says whose all calls of the connection are',
  async (t, { ca, client }) => {
    const one = await client({ certificate: await ca.tenant('acme') })
    t.equal(await ask(one, {}), 'acme')
    t.equal(await ask(one, as('acme')), 'acme')
    t.equal(await ask(one, as('globex')), '403 tenant_mismatch')
    t.equal(await ask(one, { host: 'globex.test' }), '403 tenant_mismatch')
    const report = reportOf(await one.call({ path: '/report' }))
    t.match(
      valuesOf(report.fields, 'x-forwarded-client-cert').join(),
      'URI=spiffe://example.org/tenant/acme',
    )
    const unknown = await client({ certificate: await ca.tenant('nobody') })
    t.equal(await ask(unknown, {}), '401 unroutable')
  },
)

await identityTest('credentials that were for the proxy end there', async (t, { client }) => {
  const one = await client()
  for (const fields of [
    { 'x-api-key': keyOf('acme') },
    { authorization: `ApiKey ${keyOf('acme')}` },
    { authorization: `Bearer ${token()}` },
  ]) {
    const report = reportOf(
      await one.call({ path: '/report', fields: { ...fields, 'x-other': '1' } }),
    )
    t.same(valuesOf(report.fields, 'x-api-key'), [])
    t.same(valuesOf(report.fields, 'authorization'), [])
    t.same(valuesOf(report.fields, 'x-other'), ['1'])
  }
})

await identityTest(
  'ALPN decides the version, and h2 is preferred',
  async (t, { lab, ca, proxy, client }) => {
    for (const [offer, chosen] of [
      [['http/1.1', 'h2'], 'h2'],
      [['h2'], 'h2'],
      [['http/1.1'], 'http/1.1'],
      [[], false],
    ] as const) {
      const socket = connect({
        port: proxy.port('public'),
        host: '127.0.0.1',
        servername: 'service.test',
        ca: ca.cert,
        ALPNProtocols: [...offer],
      })
      await once(socket, 'secureConnect')
      t.equal(socket.alpnProtocol, chosen, offer.join())
      socket.destroy()
    }
    const old = new Http1Client(proxy.port('public'), { servername: 'service.test', ca: ca.cert })
    lab.closing(async () => old.close())
    t.equal(await ask(old, as('acme')), 'acme', 'HTTP/1.1 on the same listener')
    t.equal(await ask(await client(), as('acme')), 'acme')
  },
)

await test('private mode: the address says whose call it is', async t => {
  const lab = new ProxyLab()
  const deployment = await startDeployment(t, 'acme', { version: 2 })
  const endpoints = { deployment: { endpoints: [deployment.endpoint] } }
  const proxy = await lab.proxy({
    listeners: [{ name: 'private', mode: 'private', port: 0 }],
    tenants: [tenant('acme', deployment, { address: '127.0.0.1', ...endpoints })],
  })
  const client = await Http2Client.connect(proxy.port('private'))
  lab.closing(async () => client.close())
  t.equal(await ask(client, { host: 'anything.test' }), 'acme')
  t.equal(await ask(client, as('globex')), '401 credential_invalid')
  await lab.close(t)
})

await mixTest('keys of two tenants, mixed with refusals, on one connection', async (t, scene) => {
  const client = await scene.client()
  const who = ['acme', 'globex', 'nobody', 'acme']
  const asks = Array.from({ length: 40 }, (_, i) => who[i % who.length] as string)
  const answers = await Promise.all(
    asks.map(async id => ask(client, id === 'nobody' ? {} : as(id))),
  )
  t.same(
    answers,
    asks.map(id => (id === 'nobody' ? '401 unroutable' : id)),
  )
  t.equal(scene.proxy.rejected('unroutable'), 10)
  t.equal(scene.proxy.totals().calls, 30, 'refused calls are no usage')
})
