/** What a listener with `proxyProtocol: required` takes from whom, and whose a connection through a private link is. */
import { answering } from '../support/manual-deployment.ts'
import { awsLink, proxyV2, proxyV2Local, tlv } from '../support/proxy-header.ts'
import {
  codeOf,
  fieldsOf,
  get,
  keyOf,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import { proxyConfig, type RunningProxy } from '../support/start-proxy.ts'

const LINK_ACME = 'vpce-0a1b2c3d4e5f60718'
const LINK_GLOBEX = 'vpce-00000000000000001'

const required = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  listeners: [
    {
      name: 'public',
      mode: 'shared',
      address: '127.0.0.1:0',
      proxyProtocol: 'required',
      ...more,
    },
  ],
  trustedProxies: ['127.0.0.1'],
})

const linked = (...links: object[]): Record<string, unknown> => ({
  credentials: links.map(privateLink => ({ privateLink })),
  hosts: [],
})

/** Two tenants behind private links, on a shared listener. */
async function behindLinks(
  lab: ProxyLab,
  more: Record<string, unknown> = {},
): Promise<{ proxy: RunningProxy; serves: (text: string) => Promise<string> }> {
  const acme = await lab.deployment({ serve: answering(ok('acme')) })
  const globex = await lab.deployment({ serve: answering(ok('globex')) })
  const proxy = await lab.proxy({
    ...required(more),
    tenants: [
      tenant('acme', acme, linked({ aws: LINK_ACME }, { azure: 1_234_567 })),
      tenant('globex', globex, linked({ aws: LINK_GLOBEX }, { gcp: '12345678901234567' })),
      tenant('initech', acme, { hosts: ['initech.test'] }),
    ],
  })
  const serves = async (text: string): Promise<string> => {
    const client = await lab.client(proxy)
    await client.send(text)
    const { status, body } = await readAnswer(client)
    client.reset()
    return status === 200 ? body : codeOf(body)
  }
  return { proxy, serves }
}

const latin1 = (bytes: Buffer): string => bytes.toString('latin1')
const through = (...tlvs: Buffer[]): string => latin1(proxyV2({ tlvs }))
const PLAIN = get('/').replace('acme.test', 'any.test')

await proxyTest(
  'a header is taken only from trustedProxies: from anybody else no byte is believed',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok()) })
    const proxy = await lab.forOne(deployment, {
      ...required(),
      trustedProxies: ['10.0.0.0/8', '127.0.0.2'],
    })
    const client = await lab.client(proxy)
    await client.send(latin1(proxyV2()) + get())
    t.equal(await client.readToEnd(), '')
    t.equal(proxy.rejected('proxy_protocol_untrusted'), 1)
    t.equal(deployment.peers.length, 0)
    t.equal(proxy.rejected(), 1, 'and for no other reason')
  },
)

await proxyTest('a header is never guessed: without the setting it is refused', async (t, lab) => {
  const deployment = await lab.deployment({ serve: answering(ok()) })
  const proxy = await lab.forOne(deployment, { trustedProxies: ['127.0.0.1'] })
  const client = await lab.client(proxy)
  await client.send(latin1(proxyV2()) + get())
  await client.readToEnd()
  t.equal(deployment.peers.length, 0)
})

await proxyTest(
  'the private-link ids of AWS, Azure and GCP name the tenant of a call',
  async (t, lab) => {
    const { serves } = await behindLinks(lab)
    t.equal(await serves(through(awsLink(LINK_ACME)) + PLAIN), 'acme')
    t.equal(await serves(through(awsLink(LINK_GLOBEX)) + PLAIN), 'globex')
    t.equal(await serves(through(tlv(0xee, Buffer.from('0187d61200', 'hex'))) + PLAIN), 'acme')
    const gcp = Buffer.from('002bdc545d6b4b87', 'hex')
    t.equal(await serves(through(tlv(0xe0, gcp)) + PLAIN), 'globex')
    t.equal(await serves(through(awsLink('vpce-ffff')) + PLAIN), 'unroutable', 'of no tenant')
    t.equal(await serves(through() + PLAIN), 'unroutable', 'without')
  },
)

await proxyTest(
  'a private link names the tenant of a tunnel, whatever it carries',
  async (t, lab) => {
    const acme = await lab.deployment()
    const globex = await lab.deployment()
    const proxy = await lab.proxy({
      ...required({ protocol: 'tcp' }),
      tenants: [
        tenant('acme', acme, linked({ aws: LINK_ACME })),
        tenant('globex', globex, linked({ aws: LINK_GLOBEX })),
      ],
    })
    const client = await lab.client(proxy)
    await client.send(`${through(awsLink(LINK_GLOBEX))}\0any protocol`)
    t.equal(await (await globex.next()).readBytes(13), '\0any protocol')
    t.equal(acme.peers.length, 0)
    const [record] = proxy.usage()
    t.match(record, { tenant: 'globex', routability: 'private' })
    t.equal(proxy.totals().ingress, 13, 'the header is not billed')
  },
)

await proxyTest(
  'a private link and other evidence that disagree are a mismatch',
  async (t, lab) => {
    const { serves } = await behindLinks(lab)
    const header = through(awsLink(LINK_ACME))
    t.equal(await serves(header + get().replace('acme.test', 'initech.test')), 'tenant_mismatch')
    const key = `x-api-key: ${keyOf('initech')}\r\n`
    const other = get('/', key).replace('acme.test', 'any.test')
    t.equal(await serves(header + other), 'tenant_mismatch')
  },
)

await proxyTest('a private link works on a private listener like an address', async (t, lab) => {
  const acme = await lab.deployment({ serve: answering(ok('acme')) })
  const globex = await lab.deployment({ serve: answering(ok('globex')) })
  const proxy = await lab.proxy({
    listeners: [
      { name: 'public', mode: 'private', port: 0, bind: 'wildcard', proxyProtocol: 'required' },
    ],
    trustedProxies: ['127.0.0.1'],
    tenants: [
      tenant('acme', acme, { ...linked({ aws: LINK_ACME }), address: '10.9.9.9' }),
      tenant('globex', globex, { hosts: [], address: '10.9.9.8' }),
    ],
  })
  const ask = async (header: Buffer): Promise<string> => {
    const client = await lab.client(proxy)
    await client.send(latin1(header) + PLAIN)
    await client.until(() => client.total > 0 || client.ended || client.closed, 'an answer')
    return client.total === 0 ? 'closed' : (await readAnswer(client)).body
  }
  t.equal(await ask(proxyV2({ tlvs: [awsLink(LINK_ACME)] })), 'acme')
  t.equal(await ask(proxyV2({ destination: '10.9.9.9' })), 'acme')
  t.equal(await ask(proxyV2({ destination: '10.9.9.8' })), 'globex')
  t.equal(
    codeOf(await ask(proxyV2({ destination: '10.9.9.8', tlvs: [awsLink(LINK_ACME)] }))),
    'tenant_mismatch',
  )
  t.equal(await ask(proxyV2()), 'closed', 'an address of nobody')
  t.equal(await ask(proxyV2({ tlvs: [awsLink(LINK_GLOBEX)] })), 'closed', 'a link of nobody')
})

await proxyTest('a malformed TLV or a wrong checksum closes the connection', async (t, lab) => {
  const { proxy, serves } = await behindLinks(lab)
  const broken = [
    [tlv(0xea, '')],
    [tlv(0xee, '\x01\0')],
    [tlv(0x03, 'abcd')],
    [awsLink(LINK_ACME), awsLink(LINK_GLOBEX)],
    Array.from({ length: 65 }, () => tlv(0x04, '')),
  ]
  for (const tlvs of broken) {
    const client = await lab.client(proxy)
    await client.send(through(...tlvs) + PLAIN)
    await client.until(() => client.ended || client.closed, 'the close')
    t.equal(client.total, 0)
  }
  t.equal(proxy.rejected('proxy_protocol_invalid'), broken.length)
  t.equal(await serves(through(awsLink(LINK_ACME)) + PLAIN), 'acme', 'others are served')
})

await proxyTest('a huge length is refused at once, and not waited for', async (t, lab) => {
  const { proxy } = await behindLinks(lab)
  const client = await lab.client(proxy)
  const head = proxyV2().subarray(0, 16)
  head.writeUInt16BE(0xffff, 14)
  await client.send(head)
  await client.until(() => client.ended || client.closed, 'the close')
  t.equal(proxy.rejected('proxy_protocol_invalid'), 1)
})

await proxyTest(
  'a LOCAL header, UNKNOWN, and families without IP leave the addresses of the connection',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.proxy({
      listeners: [
        { name: 'public', mode: 'private', port: 0, protocol: 'http', proxyProtocol: 'required' },
      ],
      trustedProxies: ['127.0.0.1'],
      tenants: [tenant('acme', deployment, { address: '127.0.0.1' })],
    })
    const unspec = proxyV2()
    unspec.writeUInt8(0, 13)
    const unix = Buffer.concat([proxyV2().subarray(0, 16), Buffer.alloc(216, 0x2f)])
    unix.writeUInt8(0x31, 13)
    unix.writeUInt16BE(216, 14)
    for (const header of ['PROXY UNKNOWN\r\n', proxyV2Local(), unspec, unix]) {
      const client = await lab.client(proxy)
      await client.send(Buffer.concat([Buffer.from(header), Buffer.from(get())]))
      const upstream = deployment.peers[0] ?? (await deployment.next())
      t.same(fieldsOf(await upstream.readHead(), 'x-forwarded-for'), ['127.0.0.1'])
      await upstream.send(ok())
      t.equal((await readAnswer(client)).status, 200)
      client.reset()
    }
  },
)

await proxyTest(
  'a header that trickles in byte by byte is read, and then the call',
  async (t, lab) => {
    const { proxy } = await behindLinks(lab)
    const client = await lab.client(proxy)
    for (const byte of proxyV2({ tlvs: [awsLink(LINK_ACME), tlv(0x02, 'a.example')] })) {
      await client.send(Buffer.of(byte))
      await new Promise(resolve => setImmediate(resolve))
    }
    await client.send(PLAIN)
    t.equal((await readAnswer(client)).body, 'acme')
  },
)

await proxyTest(
  'where TLS ended at the balancer, its header says so, and which name was asked for',
  async (t, lab) => {
    const acme = await lab.deployment()
    const proxy = await lab.proxy({ ...required(), tenants: [tenant('acme', acme)] })
    const ssl = tlv(0x20, Buffer.concat([Buffer.from('0100000000', 'hex'), tlv(0x21, 'TLSv1.3')]))
    const call = await lab.client(proxy)
    await call.send(through(ssl) + get())
    const upstream = await acme.next()
    t.same(fieldsOf(await upstream.readHead(), 'x-forwarded-proto'), ['https'])
    const tunnel = await lab.client(proxy)
    await tunnel.send(`${through(ssl, tlv(0x02, 'ACME.test'))}\0\x01binary`)
    t.equal(await (await acme.next()).readBytes(8), '\0\x01binary')
  },
)

await proxyTest(
  'a private link that another tenant gets carries no call of a connection that was there',
  async (t, lab) => {
    const acme = await lab.deployment({ serve: answering(ok('acme')) })
    const globex = await lab.deployment({ serve: answering(ok('globex')) })
    const link = linked({ aws: LINK_ACME })
    const none = { hosts: [], credentials: [] }
    const proxy = await lab.proxy({
      ...required(),
      tenants: [tenant('acme', acme, link), tenant('globex', globex, none)],
    })
    const client = await lab.client(proxy)
    await client.send(through(awsLink(LINK_ACME)) + PLAIN)
    t.equal((await readAnswer(client)).body, 'acme')
    const { tenants, limits } = proxyConfig({
      ...required(),
      tenants: [tenant('acme', acme, none), tenant('globex', globex, link)],
    })
    client.take()
    t.same(await proxy.change(tenants, limits, 2), [])
    t.equal(await client.readToEnd(), '', 'one that rests is ended')
    client.end()
    t.equal(globex.peers.length, 0)
    const again = await lab.client(proxy)
    await again.send(through(awsLink(LINK_ACME)) + PLAIN)
    t.equal((await readAnswer(again)).body, 'globex')
  },
)
