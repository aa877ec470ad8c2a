/** Connections that are carried as they are: who speaks first, how they end, and how one side holds back the other. */

import type { ManualDeployment } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import { eventually, type ProxyLab, proxyTest, tenant } from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

const MIB = 1024 * 1024
const PIECE = Buffer.alloc(64 * 1024, 'x')
const MAX_IN_FLIGHT = 24 * MIB

/** A private listener `tcp` at 127.0.0.1, for `acme`. */
async function privateTcp(
  lab: ProxyLab,
  deployment: ManualDeployment,
  { protocol = 'tcp', ...more }: { protocol?: string } & Record<string, unknown> = {},
): Promise<RunningProxy> {
  return lab.proxy({
    listeners: [{ name: 'tcp', mode: 'private', port: 0, protocol }],
    tenants: [tenant('acme', deployment, { address: '127.0.0.1' })],
    ...more,
  })
}

async function tunnel(
  lab: ProxyLab,
  more: Record<string, unknown> = {},
): Promise<{ client: Peer; upstream: Peer; proxy: RunningProxy }> {
  const deployment = await lab.deployment()
  const proxy = await privateTcp(lab, deployment, more)
  const client = await lab.client(proxy, 'tcp')
  await client.send('hello')
  const upstream = await deployment.next()
  await upstream.readBytes(5)
  return { client, upstream, proxy }
}

await proxyTest('bytes pass both ways as they are, and are counted', async (t, lab) => {
  const { client, upstream, proxy } = await tunnel(lab)
  const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  await client.send(all)
  t.equal(await upstream.readBytes(256), all.toString('latin1'))
  await upstream.send(all)
  t.equal(await client.readBytes(256), all.toString('latin1'))
  client.end()
  await upstream.readToEnd()
  upstream.end()
  await client.gone()
  await eventually(() => proxy.worker.openConnections === 0)
  t.match(
    proxy.totals(record => record.operation === 'tunnel'),
    {
      calls: 0,
      connections: 1,
      ingress: 261,
      egress: 256,
    },
  )
})

await proxyTest('the deployment may speak first, at once on a tcp listener', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await privateTcp(lab, deployment, { timeouts: { detect: '60s' } })
  const client = await lab.client(proxy, 'tcp')
  const upstream = await deployment.next()
  await upstream.send('INFO {}\r\n')
  t.equal(await client.readBytes(9), 'INFO {}\r\n')
})

await proxyTest(
  'the deployment may speak first on an auto listener, after the time to detect',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await privateTcp(lab, deployment, {
      protocol: 'auto',
      timeouts: { detect: '150ms' },
    })
    const started = performance.now()
    const client = await lab.client(proxy, 'tcp')
    const upstream = await deployment.next()
    t.ok(performance.now() - started >= 140, 'not before')
    await upstream.send('INFO {}\r\n')
    t.equal(await client.readBytes(9), 'INFO {}\r\n')
    await client.send('GET / HTTP/1.1\r\n\r\n')
    t.equal(await upstream.readBytes(18), 'GET / HTTP/1.1\r\n\r\n', 'it stays a tunnel')
  },
)

for (const first of ['client', 'deployment']) {
  await proxyTest(`the end of the ${first} passes, and the other side goes on`, async (t, lab) => {
    const { client, upstream } = await tunnel(lab)
    const [one, other] = first === 'client' ? [client, upstream] : [upstream, client]
    await one.send('last')
    one.end()
    t.equal(await other.readToEnd(), 'last')
    await other.send('and more')
    t.equal(await one.readBytes(8), 'and more')
    other.end()
    await one.gone()
    await other.gone()
    t.equal(one.error, undefined)
    t.equal(other.error, undefined)
  })

  await proxyTest(
    `a reset of the ${first} is a reset on the other side: a FIN would say that all has come`,
    async (t, lab) => {
      const { client, upstream } = await tunnel(lab)
      const [one, other] = first === 'client' ? [client, upstream] : [upstream, client]
      await one.send('half of')
      await other.readBytes(7)
      one.reset()
      await other.gone()
      t.equal(other.error, 'ECONNRESET')
    },
  )

  await proxyTest(
    `a ${first} that reads slowly stops the other side, and loses nothing`,
    async (t, lab) => {
      const { client, upstream } = await tunnel(lab)
      const [reader, writer] = first === 'client' ? [client, upstream] : [upstream, client]
      reader.socket.pause()
      const total = 48 * MIB
      writer.flood(PIECE, total)
      let last = -1
      let same = 0
      await eventually(() => {
        const sent = writer.socket.bytesWritten - writer.socket.writableLength
        same = sent === last ? same + 1 : 0
        last = sent
        return same >= 30
      })
      t.ok(last < MAX_IN_FLIGHT, `got rid of ${last} bytes`)
      let received = 0
      reader.socket.removeAllListeners('data')
      reader.socket.on('data', (chunk: Buffer) => {
        received += chunk.length
      })
      reader.socket.resume()
      await eventually(() => received >= total)
      t.equal(received, total)
    },
  )
}

await proxyTest(
  'a client that sends all and ends before the deployment is reached loses nothing',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await privateTcp(lab, deployment, { protocol: 'auto' })
    for (const text of ['*1\r\n$4\r\nPING\r\n', 'PING', 'P', 'PRI * HTTP', '\x16']) {
      const client = await lab.client(proxy, 'tcp')
      await client.send(text)
      client.end()
      const upstream = await deployment.next()
      t.equal(await upstream.readToEnd(), text)
      await upstream.send('+PONG')
      upstream.end()
      t.equal(await client.readToEnd(), '+PONG')
      await client.gone()
    }
  },
)

await proxyTest(
  'a deployment that cannot be reached ends the connection at once',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await privateTcp(lab, deployment)
    await deployment.close()
    const client = await lab.client(proxy, 'tcp')
    t.equal(await client.readToEnd(), '')
    t.equal(proxy.rejected('upstream_connect'), 1)
    t.equal(proxy.totals().ingress, 0)
  },
)

await proxyTest('a tunnel goes to the endpoint that is alive', async (t, lab) => {
  const dead = await lab.deployment()
  const deployment = await lab.deployment()
  await dead.close()
  const endpoints = [`tcp://127.0.0.1:${dead.port}`, `tcp://127.0.0.1:${deployment.port}`]
  const proxy = await privateTcp(lab, deployment, {
    tenants: [tenant('acme', deployment, { address: '127.0.0.1', deployment: { endpoints } })],
  })
  for (let turn = 0; turn < 4; turn++) {
    const client = await lab.client(proxy, 'tcp')
    await client.send('x')
    t.equal(await (await deployment.next()).readBytes(1), 'x')
  }
})

await proxyTest(
  'a tunnel without traffic ends after the idle time, and not before',
  async (t, lab) => {
    const { client, upstream } = await tunnel(lab, { timeouts: { idle: '400ms' } })
    for (let turn = 0; turn < 3; turn++) {
      await new Promise(resolve => setTimeout(resolve, 200))
      await upstream.send('.')
      await client.readBytes(1)
    }
    const rested = performance.now()
    await client.until(() => client.ended || client.closed, 'the end')
    t.ok(performance.now() - rested > 350)
  },
)

await proxyTest(
  'each tenant has an address of its own, and its deployment behind it',
  async (t, lab) => {
    const one = await lab.deployment()
    const two = await lab.deployment()
    for (const bind of ['each', 'wildcard']) {
      // With `each` the ports of the addresses differ: a listener with port 0 takes a free one for each of them.
      const proxy = await lab.proxy({
        listeners: [{ name: 'tcp', mode: 'private', port: 0, protocol: 'tcp', bind }],
        tenants: [
          tenant('acme', one, { address: '127.0.1.1' }),
          tenant('globex', two, { address: '127.0.1.2' }),
        ],
      })
      for (const [host, deployment] of [
        ['127.0.1.1', one],
        ['127.0.1.2', two],
      ] as const) {
        const bound =
          proxy.bound.find(({ address }) => address.startsWith(`${host}:`)) ?? proxy.bound[0]
        const port = Number(/\d+$/.exec(bound?.address ?? '')?.[0])
        const client = await lab.clientAt(port, host)
        await client.send(host)
        t.equal(await (await deployment.next()).readBytes(9), host, bind)
      }
      if (bind === 'wildcard') {
        const stranger = await lab.client(proxy, 'tcp', '127.0.1.3')
        await stranger.readToEnd()
        t.equal(proxy.rejected('unroutable'), 1, 'an address of nobody')
      }
    }
  },
)

await proxyTest('a tunnel that the tenant may not have is closed and counted', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await privateTcp(lab, deployment, {
    tenants: [tenant('acme', deployment, { address: '127.0.0.1', limits: { connections: 1 } })],
  })
  const client = await lab.client(proxy, 'tcp')
  await deployment.next()
  const second = await lab.client(proxy, 'tcp')
  await second.readToEnd()
  t.equal(proxy.rejected('too_many_connections'), 1)
  client.reset()
  await eventually(() => proxy.worker.openConnections === 0)
  await lab.client(proxy, 'tcp')
  await deployment.next()
})

await proxyTest('the drain lets a tunnel go on until its deadline', async (t, lab) => {
  const { client, upstream, proxy } = await tunnel(lab, { timeouts: { drain: '400ms' } })
  const started = performance.now()
  const drained = proxy.worker.drain()
  await client.send('still')
  t.equal(await upstream.readBytes(5), 'still')
  await client.until(() => client.ended || client.closed, 'the deadline')
  t.ok(performance.now() - started >= 390)
  await drained
  t.equal(proxy.worker.openConnections, 0)
})
