/** PROXY protocol with those that have it: HAProxy in front of AMT and behind it, nginx behind it, and curl. */
import { writeFileSync } from 'node:fs'
import { t as root, test } from 'tap'
import { startHaproxy, startNginx, WITHOUT_HAPROXY, WITHOUT_NGINX } from '../support/balancer.ts'
import { type CertificateFiles, TestAuthority } from '../support/certificates.ts'
import { curl, WITHOUT_CURL } from '../support/curl.ts'
import { freePorts } from '../support/free-ports.ts'
import type { Peer } from '../support/peer.ts'
import { eventually, fieldsOf, ok, ProxyLab, tenant } from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

// Whole programs are started, on a machine that may be busy.
root.setTimeout(120_000)

/** Where curl comes from, so that it can be told from whoever is in between. */
const CLIENT = '127.0.0.77'
const HOST = 'acme.test'

/** Answers with what it was told of the client. */
async function tellingClient(peer: Peer): Promise<void> {
  const asked = (): boolean => peer.text.includes('\r\n\r\n')
  for (;;) {
    await peer.until(() => asked() || peer.ended || peer.closed, 'a call').catch(() => {})
    if (!asked()) break
    const head = await peer.readHead()
    const [from, proto] = ['x-forwarded-for', 'x-forwarded-proto'].map(
      name => fieldsOf(head, name)[0],
    )
    await peer.send(ok(`${from} ${proto}`))
  }
  peer.end()
}

const asClient = (url: string, ...more: string[]): readonly string[] => [
  '--interface',
  CLIENT,
  '-H',
  `host: ${HOST}`,
  ...more,
  url,
]

async function bodyOf(url: string, ...more: string[]): Promise<string> {
  const [transfer] = await curl([asClient(url, ...more)])
  return transfer?.body ?? ''
}

/** A file with certificate and key, as HAProxy wants them. */
function bundle({ cert, key, certPath }: CertificateFiles): string {
  const path = `${certPath}.pem`
  writeFileSync(path, cert + key)
  return path
}

async function behindBalancer(lab: ProxyLab, protocol: string): Promise<RunningProxy> {
  const deployment = await lab.deployment({ serve: tellingClient })
  return lab.proxy({
    listeners: [
      {
        name: 'public',
        mode: 'shared',
        address: '127.0.0.1:0',
        protocol,
        proxyProtocol: 'required',
      },
    ],
    trustedProxies: ['127.0.0.1'],
    tenants: [tenant('acme', deployment)],
  })
}

const TLVS = 'ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c,unique-id'

const SENDING = [
  'send-proxy',
  'send-proxy-v2',
  'send-proxy-v2-ssl',
  'send-proxy-v2-ssl-cn',
  `send-proxy-v2 proxy-v2-options ${TLVS}`,
]

for (const sending of SENDING) {
  await test(`HAProxy in front of AMT: ${sending}`, { skip: WITHOUT_HAPROXY }, async t => {
    const lab = new ProxyLab()
    const proxy = await behindBalancer(lab, 'http')
    const ca = await TestAuthority.create(t)
    const server = bundle(await ca.server([HOST]))
    const client = await ca.tenant('acme')
    const [plain = 0, secure = 0] = await freePorts(2)
    await startHaproxy(
      t,
      `
listen front
  mode tcp
  unique-id-format %{+X}o%ci:%cp_%Ts
  bind 127.0.0.1:${plain}
  bind 127.0.0.1:${secure} ssl crt ${server} ca-file ${ca.certPath} verify optional
  server amt 127.0.0.1:${proxy.port('public')} ${sending} check inter 100ms check-send-proxy
`,
      [plain, secure],
    )
    t.equal(await bodyOf(`http://127.0.0.1:${plain}/`), `${CLIENT} http`)
    const own = ['--cert', client.certPath, '--key', client.keyPath]
    const trust = ['--cacert', ca.certPath, '--connect-to', `${HOST}:443:127.0.0.1:${secure}`]
    const told = await bodyOf(`https://${HOST}/`, ...trust, ...own)
    // Only the TLVs say that the client came over TLS.
    t.equal(told, `${CLIENT} ${/ssl/.test(sending) ? 'https' : 'http'}`)
    t.equal(proxy.rejected(), 0, 'health checks are no faults either')
    await lab.close(t)
  })
}

await test('HAProxy ends TLS, and AMT routes the tunnel by the name in the header', {
  skip: WITHOUT_HAPROXY,
}, async t => {
  const lab = new ProxyLab()
  const proxy = await behindBalancer(lab, 'tcp')
  const ca = await TestAuthority.create(t)
  const [secure = 0] = await freePorts(1)
  await startHaproxy(
    t,
    `
listen front
  mode tcp
  bind 127.0.0.1:${secure} ssl crt ${bundle(await ca.server([HOST, 'other.test']))}
  server amt 127.0.0.1:${proxy.port('public')} send-proxy-v2 proxy-v2-options authority,ssl,crc32c
`,
    [secure],
  )
  const via = (host: string): string[] => [
    '--cacert',
    ca.certPath,
    '--connect-to',
    `${host}:443:127.0.0.1:${secure}`,
  ]
  t.match(await bodyOf(`https://${HOST}/`, ...via(HOST)), /undefined/, 'a tunnel adds no fields')
  await t.rejects(bodyOf('https://other.test/', ...via('other.test')), /curl ended with 5[26]/)
  // The first connection of the balancer's start was of the test itself, without a byte of TLS.
  await eventually(() => proxy.rejected('unroutable') === 1)
  t.equal(proxy.rejected('unroutable'), 1)
  await lab.close(t)
})

for (const version of ['v1', 'v2']) {
  await test(`HAProxy behind AMT: accept-proxy, ${version}`, { skip: WITHOUT_HAPROXY }, async t => {
    const lab = new ProxyLab()
    const ca = await TestAuthority.create(t)
    const server = bundle(await ca.server([], ['127.0.0.1']))
    const [plain = 0, secure = 0] = await freePorts(2)
    await startHaproxy(
      t,
      `
frontend behind
  mode http
  bind 127.0.0.1:${plain} accept-proxy
  bind 127.0.0.1:${secure} accept-proxy ssl crt ${server}
  http-request return status 200 content-type text/plain lf-string "%[src] to %[dst]"
`,
      [plain, secure],
    )
    const deploymentAt = (endpoint: string): object => ({
      endpoints: [endpoint],
      proxyProtocol: version,
      ...(/^(https|tls)/.test(endpoint) ? { tls: { ca: ca.certPath } } : {}),
    })
    const endpoints = [
      `tcp://127.0.0.1:${plain}`,
      `tls://127.0.0.1:${secure}`,
      `http://127.0.0.1:${plain}`,
      `https://127.0.0.1:${secure}`,
    ]
    const proxy = await lab.proxy({
      listeners: [
        { name: 'tunnels', mode: 'private', port: 0, bind: 'wildcard', protocol: 'tcp' },
        { name: 'calls', mode: 'private', port: 0, bind: 'wildcard', protocol: 'http' },
      ],
      tenants: endpoints.map((endpoint, index) => ({
        id: `t${index}`,
        address: `127.0.4.${index + 1}`,
        deployment: deploymentAt(endpoint),
      })),
    })
    for (const [index, endpoint] of endpoints.entries()) {
      const address = `127.0.4.${index + 1}`
      const tunnel = await bodyOf(`http://${address}:${proxy.port('tunnels')}/`)
      t.equal(tunnel, `${CLIENT} to ${address}`, `a tunnel to ${endpoint} is the client's`)
      const call = await bodyOf(`http://${address}:${proxy.port('calls')}/`)
      t.equal(call, '127.0.0.1 to 127.0.0.1', `a call to ${endpoint} is the proxy's own`)
    }
    await lab.close(t)
  })

  await test(`nginx behind AMT: listen proxy_protocol, ${version}`, {
    skip: WITHOUT_NGINX,
  }, async t => {
    const lab = new ProxyLab()
    const [port = 0] = await freePorts(1)
    await startNginx(
      t,
      `server { listen 127.0.0.1:${port} proxy_protocol;
        location / { return 200 "$proxy_protocol_addr $proxy_protocol_server_addr"; } }`,
      [port],
    )
    const proxy = await lab.proxy({
      listeners: [{ name: 'own', mode: 'private', port: 0, protocol: 'tcp' }],
      tenants: [
        {
          id: 'acme',
          address: '127.0.4.9',
          deployment: { endpoints: [`tcp://127.0.0.1:${port}`], proxyProtocol: version },
        },
      ],
    })
    const told = await bodyOf(`http://127.0.4.9:${proxy.port('own')}/`)
    t.equal(told, `${CLIENT} 127.0.4.9`)
    await lab.close(t)
  })
}

await test('curl --haproxy-protocol', { skip: WITHOUT_CURL }, async t => {
  const lab = new ProxyLab()
  const deployment = await lab.deployment({ serve: tellingClient })
  const proxy = await lab.proxy({
    listeners: [
      { name: 'public', mode: 'shared', address: '127.0.0.1:0', proxyProtocol: 'required' },
    ],
    trustedProxies: [CLIENT],
    tenants: [tenant('acme', deployment)],
  })
  const url = `http://127.0.0.1:${proxy.port('public')}/`
  const own = await bodyOf(url, '--haproxy-protocol')
  t.equal(own, `${CLIENT} http`)
  await t.rejects(bodyOf(url), /curl ended with/, 'without a header')
  await t.rejects(
    curl([['--haproxy-protocol', '-H', `host: ${HOST}`, url]]),
    /curl ended with/,
    'from another address',
  )
  t.equal(proxy.rejected('proxy_protocol_invalid'), 1)
  t.equal(proxy.rejected('proxy_protocol_untrusted'), 1)
  await lab.close(t)
})
