/** Names that lead to a tenant over HTTP/2: `:authority`, and what the name of the TLS has to say to it. */
import { TestAuthority } from '../support/certificates.ts'
import { http2Test, outcomeOf, request } from '../support/http2/http2-lab.ts'
import { answering } from '../support/manual-deployment.ts'
import { codeOf, keyOf, ok, type ProxyLab, tenant } from '../support/proxy-lab.ts'

async function named(
  lab: ProxyLab,
  id: string,
  hosts: readonly string[],
): Promise<Record<string, unknown>> {
  return tenant(id, await lab.deployment({ serve: answering(ok(id)) }), { hosts })
}

/** `200 acme`, or the status and the code of a refusal. */
function told(outcome: string): string {
  const code = codeOf(outcome)
  return code === '' ? outcome : `${outcome.slice(0, 3)} ${code}`
}

await http2Test(
  'a tenant’s hosts are matched by :authority: exact before the longest wildcard, in any case, with port',
  async (t, lab, http2) => {
    const proxy = await lab.proxy({
      tenants: [
        await named(lab, 'exact', ['www.shop.example']),
        await named(lab, 'long', ['*.shop.example']),
        await named(lab, 'short', ['*.example']),
      ],
    })
    const client = await http2.client(proxy)
    for (const [authority, expected] of [
      ['www.shop.example', '200 exact'],
      ['WWW.Shop.EXAMPLE', '200 exact'],
      ['www.shop.example.', '200 exact'],
      ['www.shop.example:8443', '200 exact'],
      ['a.shop.example', '200 long'],
      ['a.www.shop.example', '200 long'],
      ['shop.example', '200 short'],
      ['example', '401 unroutable'],
      ['www.shop.example.evil.test', '401 unroutable'],
      ['127.0.0.1', '401 unroutable'],
      ['[::1]', '401 unroutable'],
    ] as const)
      t.equal(told(await outcomeOf(request(client, { authority }))), expected, authority)
    t.equal(client.goneAways.length, 0, 'all on one connection, each to its own tenant')
  },
)

await http2Test(
  'without :authority it is host, and two that differ are refused',
  async (t, lab, http2) => {
    const proxy = await lab.proxy({
      tenants: [
        await named(lab, 'acme', ['acme.test']),
        await named(lab, 'globex', ['globex.test']),
      ],
    })
    const client = await http2.client(proxy)
    const pseudo = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
    ] as const
    const alone = client.request([...pseudo, ['host', 'globex.test']], { end: true })
    t.equal(await outcomeOf(alone), '200 globex')
    const same = request(client, { authority: 'acme.test', more: [['host', 'acme.test']] })
    t.equal(await outcomeOf(same), '200 acme')
    const other = request(client, { authority: 'acme.test', more: [['host', 'globex.test']] })
    t.equal(await outcomeOf(other), 'reset 1', 'PROTOCOL_ERROR')
    const none = client.request([...pseudo], { end: true })
    t.not((await outcomeOf(none)).slice(0, 3), '200', 'a call for nobody')
  },
)

await http2Test(
  'an :authority that contradicts the SNI is 421, and the connection goes on',
  async (t, lab, http2) => {
    const ca = await TestAuthority.create(t)
    const { certPath: cert, keyPath: key } = await ca.server([
      'acme.test',
      'globex.test',
      'service.test',
    ])
    const proxy = await lab.proxy({
      listeners: [
        {
          name: 'public',
          mode: 'shared',
          address: '127.0.0.1:0',
          tls: { certificates: [{ cert, key }] },
        },
      ],
      tenants: [
        await named(lab, 'acme', ['acme.test']),
        await named(lab, 'globex', ['globex.test']),
      ],
    })
    for (const [servername, authority, expected] of [
      ['acme.test', 'acme.test', '200 acme'],
      ['acme.test', 'acme.test:443', '200 acme'],
      ['acme.test', 'globex.test', '421 misdirected_request'],
      ['globex.test', 'acme.test', '421 misdirected_request'],
      // A name of the service is nobody's: it says nothing, and contradicts nothing.
      ['service.test', 'globex.test', '200 globex'],
      ['acme.test', 'service.test', '401 unroutable'],
    ] as const) {
      const client = await http2.client(proxy, { ca: ca.cert, servername })
      // Twice, so that a refusal is seen to leave the connection as it was.
      for (let count = 0; count < 2; count++) {
        const what = `${authority} through ${servername}`
        t.equal(told(await outcomeOf(request(client, { authority }))), expected, what)
      }
    }
    t.equal(proxy.rejected('misdirected_request'), 4)
    t.equal(proxy.totals(({ tenant: id }) => id === 'acme').calls, 4)
    t.equal(proxy.totals(({ tenant: id }) => id === 'globex').calls, 2)
    const client = await http2.client(proxy, { ca: ca.cert, servername: 'acme.test' })
    const more = [['x-api-key', keyOf('globex')]] as const
    t.equal(
      told(await outcomeOf(request(client, { authority: 'globex.test', more }))),
      '421 misdirected_request',
      'a key for another tenant than that of its TLS is misdirected too',
    )
  },
)
