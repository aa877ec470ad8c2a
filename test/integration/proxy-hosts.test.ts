/** Names that lead to a tenant: `Host` and the target of calls, and what the name of their TLS has to say to it. */
import type { Test } from 'tap'
import { TestAuthority } from '../support/certificates.ts'
import { answering, type ManualDeployment } from '../support/manual-deployment.ts'
import {
  codeOf,
  keyOf,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

await proxyTest(
  'exact before the longest wildcard, in any case, with port and the dot of the root, and in absolute form',
  async (t, lab) => {
    const named = async (id: string, hosts: string[]): Promise<Record<string, unknown>> =>
      tenant(id, await lab.deployment({ serve: answering(ok(id)) }), { hosts })
    const proxy = await lab.proxy({
      tenants: [
        await named('exact', ['www.shop.example']),
        await named('long', ['*.shop.example', 'xn--mnchen-3ya.example']),
        await named('short', ['*.example']),
      ],
    })
    for (const [target, host, expected] of [
      ['/', 'www.shop.example', 'exact'],
      ['/', 'WWW.Shop.EXAMPLE', 'exact'],
      ['/', 'www.shop.example.', 'exact'],
      ['/', 'www.shop.example:8443', 'exact'],
      ['/', 'www.shop.example.:8443', 'exact'],
      ['/', 'a.shop.example', 'long'],
      ['/', 'a.www.shop.example', 'long'],
      ['/', 'shop.example', 'short'],
      ['/', 'xn--mnchen-3ya.example', 'long'],
      ['/', 'XN--MNCHEN-3YA.example', 'long'],
      ['/', 'xn--mnchen-3yb.example', 'short'],
      // In absolute form the target says it; a Host that says something else is no tie to be broken.
      ['http://www.shop.example/', 'www.shop.example', 'exact'],
      ['http://a.shop.example/', 'A.shop.example', 'long'],
      ['http://a.shop.example/', 'www.shop.example', 'invalid_host'],
      ['http://WWW.shop.example:8080/', 'www.shop.example:8080', 'exact'],
      ['/', 'example', 'unroutable'],
      ['/', '.example', 'unroutable'],
      ['/', 'www.shop.example.evil.test', 'unroutable'],
      ['/', '127.0.0.1', 'unroutable'],
      ['/', '[::1]', 'unroutable'],
      ['http://127.0.0.1/', 'www.shop.example', 'invalid_host'],
      ['http://127.0.0.1/', '127.0.0.1', 'unroutable'],
      ['/', 'm\xc3\xbcnchen.example', 'invalid_host'],
    ] as const) {
      const client = await lab.client(proxy)
      await client.send(`GET ${target} HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
      const { status, body } = await readAnswer(client)
      t.equal(status === 200 ? body : codeOf(body), expected, `${target} ${host}`)
      client.reset()
    }
  },
)

/** A listener with TLS for these names, in front of acme and globex. */
async function withTls(
  t: Test,
  lab: ProxyLab,
  names: readonly string[],
): Promise<{ proxy: RunningProxy; ca: TestAuthority; deployments: ManualDeployment[] }> {
  const ca = await TestAuthority.create(t)
  const { certPath: cert, keyPath: key } = await ca.server(names)
  const acme = await lab.deployment({ serve: answering(ok('of acme')) })
  const globex = await lab.deployment({ serve: answering(ok('of globex')) })
  const shared = { name: 'public', mode: 'shared', address: '127.0.0.1:0' }
  const proxy = await lab.proxy({
    listeners: [{ ...shared, tls: { certificates: [{ cert, key }] } }],
    tenants: [tenant('acme', acme), tenant('globex', globex)],
  })
  return { proxy, ca, deployments: [acme, globex] }
}

await proxyTest(
  'a call for another tenant than that of its TLS is misdirected, and the connection goes on',
  async (t, lab) => {
    const { proxy, ca } = await withTls(t, lab, ['acme.test', 'globex.test', 'service.test'])
    for (const [servername, host, expected] of [
      ['acme.test', 'acme.test', 'of acme'],
      ['ACME.test', 'acme.test:443', 'of acme'],
      ['acme.test', 'globex.test', 'misdirected_request'],
      ['globex.test', 'acme.test', 'misdirected_request'],
      // A name of the service is nobody's: it says nothing, and contradicts nothing.
      ['service.test', 'globex.test', 'of globex'],
      ['acme.test', 'service.test', 'unroutable'],
    ] as const) {
      const client = await lab.tlsClient(proxy, { ca: ca.cert, servername })
      // Twice, so that a refusal is seen to leave the connection as it was.
      for (let count = 0; count < 2; count++) {
        await client.send(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
        const { status, body } = await readAnswer(client)
        t.equal(status === 200 ? body : codeOf(body), expected, `${host} through ${servername}`)
        if (expected === 'misdirected_request') t.equal(status, 421)
      }
      client.reset()
    }
    t.equal(proxy.rejected('misdirected_request'), 4)
    t.equal(proxy.totals(({ tenant: id }) => id === 'acme').calls, 4)
    t.equal(proxy.totals(({ tenant: id }) => id === 'globex').calls, 2)
  },
)

await proxyTest(
  'a key for another tenant than that of its TLS is misdirected too',
  async (t, lab) => {
    const { proxy, ca, deployments } = await withTls(t, lab, ['acme.test'])
    for (const [host, expected] of [
      ['nobody.test', 'misdirected_request'],
      ['acme.test', 'tenant_mismatch'],
      ['globex.test', 'misdirected_request'],
    ] as const) {
      const client = await lab.tlsClient(proxy, { ca: ca.cert, servername: 'acme.test' })
      await client.send(`GET / HTTP/1.1\r\nhost: ${host}\r\nx-api-key: ${keyOf('globex')}\r\n\r\n`)
      t.equal(codeOf((await readAnswer(client)).body), expected, host)
    }
    t.same(
      deployments.map(({ peers }) => peers.length),
      [0, 0],
    )
  },
)
