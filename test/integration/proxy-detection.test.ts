/** What a listener makes of the first bytes: HTTP, HTTP/2, TCP, or nothing good; also behind a PROXY header. */

import { answering } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  eventually,
  fieldsOf,
  get,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

/** RFC 9113 §3.4. */
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const PP2 = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

/** Sends `text` in two pieces that arrive apart: the first is with the proxy before the second leaves. */
async function sendSplit(
  lab: ProxyLab,
  proxy: RunningProxy,
  text: string,
  at: number,
): Promise<Peer> {
  const client = await lab.client(proxy)
  await client.send(text.slice(0, at))
  await new Promise(resolve => setImmediate(resolve))
  await client.send(text.slice(at))
  return client
}

await proxyTest('a call is known as HTTP however its first bytes are cut', async (t, lab) => {
  const deployment = await lab.deployment({ serve: answering(ok('x')) })
  const proxy = await lab.forOne(deployment)
  const request = get('/a')
  for (let at = 1; at < request.length; at++) {
    const client = await sendSplit(lab, proxy, request, at)
    t.equal((await readAnswer(client)).status, 200, `cut at ${at}`)
    client.reset()
  }
})

await proxyTest('TCP is carried however its first bytes are cut', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({
    listeners: [{ name: 'public', mode: 'private', port: 0, protocol: 'auto' }],
    tenants: [tenant('acme', deployment, { address: '127.0.0.1' })],
  })
  for (const text of [
    '*1\r\n$4\r\nPING\r\n',
    'PING\r\n',
    'CONNECT {"verbose":false}\r\n',
    '\x16\x01abc',
  ]) {
    for (let at = 1; at < text.length; at++) {
      const client = await sendSplit(lab, proxy, text, at)
      t.equal(await (await deployment.next()).readBytes(text.length), text, `cut at ${at}`)
      client.reset()
    }
  }
})

await proxyTest(
  'a connection with the preface of HTTP/2 is one, however it is cut',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment)
    const text = `${PREFACE}\x00\x00\x00\x04\x00\x00\x00\x00\x00`
    for (let at = 1; at < text.length; at++) {
      const client = await sendSplit(lab, proxy, text, at)
      client.end()
      await client.readToEnd()
      t.equal(client.bytes[3], 4, 'SETTINGS')
      t.equal(client.error, undefined, 'not reset')
    }
  },
)

await proxyTest(
  'nothing within the time to detect is TCP: refused where nobody can tell whose it is',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { timeouts: { detect: '100ms' } })
    for (const text of ['', 'GE']) {
      const client = await lab.client(proxy)
      if (text !== '') await client.send(text)
      t.equal(await client.readToEnd(), '')
    }
    t.equal(proxy.rejected('unroutable'), 2)
  },
)

await proxyTest('a client that comes and goes without a word leaves nothing', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const ended = await lab.client(proxy)
  ended.end()
  await ended.gone()
  const reset = await lab.client(proxy)
  reset.reset()
  await eventually(() => proxy.worker.openConnections === 0)
  t.equal(proxy.worker.openConnections, 0)
  t.equal(proxy.rejected(), 0)
})

const GARBAGE: Record<string, string | Buffer> = {
  zeros: Buffer.alloc(300),
  'high bytes': Buffer.alloc(300, 0xff),
  'a ClientHello': Buffer.from('16030100050100000100', 'hex'),
  'line ends': '\r\n'.repeat(50),
  'a method without end': 'A'.repeat(500),
  'HTTP/0.9': 'GET /\r\n',
  'another version': 'GET / HTTP/3.0\r\n\r\n',
}
for (const protocol of ['auto', 'http', 'tcp']) {
  for (const mode of ['shared', 'private']) {
    await proxyTest(
      `garbage on a ${mode} listener for ${protocol} is carried, answered 4xx or 5xx, or closed`,
      async (t, lab) => {
        const deployment = await lab.deployment({
          serve: async peer => {
            await peer.until(() => peer.total > 0 || peer.ended, 'bytes')
            await peer.send('carried')
            peer.end()
          },
        })
        const address = mode === 'shared' ? { address: '127.0.0.1:0' } : { port: 0 }
        const proxy = await lab.proxy({
          listeners: [{ name: 'public', mode, protocol, ...address }],
          tenants: [tenant('acme', deployment, { address: '127.0.0.1' })],
          timeouts: { header: '200ms', detect: '100ms' },
        })
        let refused = 0
        for (const [name, bytes] of Object.entries(GARBAGE)) {
          const client = await lab.client(proxy)
          await client.send(bytes)
          const answer = await client.readToEnd()
          client.end()
          if (answer === 'carried') {
            t.equal(mode, 'private', `${name} carried`)
            t.not(protocol, 'http', `${name} carried`)
            continue
          }
          refused++
          if (answer !== '') t.match(answer, /^HTTP\/1\.1 (400|408|505) /, name)
          else t.not(protocol, 'http', `${name} closed without an answer`)
        }
        t.equal(proxy.rejected(), refused, 'all of it counted')
      },
    )
  }
}

const v1 = (text: string): string => `PROXY ${text}\r\n`
const v2 = (source: number[], destination: number[]): string =>
  Buffer.concat([
    PP2,
    Buffer.from([0x21, 0x11, 0, 12, ...source, ...destination, 0x30, 0x39, 0, 80]),
  ]).toString('latin1')

await proxyTest(
  'a PROXY header says where the call comes from, in both versions and at every cut',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, {
      listeners: [
        { name: 'public', mode: 'shared', address: '127.0.0.1:0', proxyProtocol: 'required' },
      ],
      trustedProxies: ['127.0.0.1'],
    })
    for (const header of [
      v1('TCP4 10.1.2.3 10.0.0.1 12345 80'),
      v2([10, 1, 2, 3], [10, 0, 0, 1]),
    ]) {
      const text = header + get()
      for (let at = 1; at <= header.length + 4; at++) {
        const client = await sendSplit(lab, proxy, text, at)
        const upstream = deployment.peers[0] ?? (await deployment.next())
        t.same(fieldsOf(await upstream.readHead(), 'x-forwarded-for'), ['10.1.2.3'], `cut at ${at}`)
        await upstream.send(ok())
        await readAnswer(client)
        client.reset()
      }
    }
  },
)

await proxyTest(
  'a PROXY header names the address, and so the tenant, on a private listener',
  async (t, lab) => {
    const acme = await lab.deployment()
    const globex = await lab.deployment()
    const proxy = await lab.proxy({
      listeners: [
        {
          name: 'public',
          mode: 'private',
          port: 0,
          bind: 'wildcard',
          protocol: 'tcp',
          proxyProtocol: 'required',
        },
      ],
      trustedProxies: ['127.0.0.1'],
      tenants: [
        tenant('acme', acme, { address: '10.0.0.1' }),
        tenant('globex', globex, { address: '10.0.0.2' }),
      ],
    })
    const client = await lab.client(proxy)
    await client.send(`${v2([10, 1, 2, 3], [10, 0, 0, 2])}hello`)
    t.equal(await (await globex.next()).readBytes(5), 'hello')
    t.equal(acme.peers.length, 0)
  },
)

await proxyTest(
  'without a PROXY header in time a connection is closed and counted',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, {
      listeners: [
        { name: 'public', mode: 'shared', address: '127.0.0.1:0', proxyProtocol: 'required' },
      ],
      trustedProxies: ['127.0.0.1'],
      timeouts: { header: '150ms' },
    })
    const attempts = [
      '',
      'PROXY TCP4 10.1',
      get(),
      'PROXY TCP4 x y 1 2\r\n',
      PP2.toString('latin1').slice(0, 7),
    ]
    for (const text of attempts) {
      const client = await lab.client(proxy)
      if (text !== '') await client.send(text)
      await client.until(() => client.ended || client.closed, 'the close')
      t.equal(client.total, 0)
    }
    t.equal(proxy.rejected('proxy_protocol_invalid'), attempts.length)
    t.equal(deployment.peers.length, 0)
  },
)

await proxyTest(
  'a connection that waits for its PROXY header ends with the worker',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, {
      listeners: [
        { name: 'public', mode: 'shared', address: '127.0.0.1:0', proxyProtocol: 'required' },
      ],
      trustedProxies: ['127.0.0.1'],
    })
    const client = await lab.client(proxy)
    await client.send('PROXY')
    await eventually(() => proxy.worker.openConnections === 1)
    t.equal(proxy.worker.openConnections, 1)
    await proxy.worker.drain()
    await client.until(() => client.ended || client.closed, 'the close')
  },
)

await proxyTest('a PROXY header is an error where none is expected', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, {
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }],
  })
  const client = await lab.client(proxy)
  await client.send(v1('TCP4 10.1.2.3 10.0.0.1 12345 80') + get())
  const { status, body } = await readAnswer(client)
  t.equal(status, 400)
  t.equal(codeOf(body), 'malformed_request')
  t.equal(deployment.peers.length, 0)
})
