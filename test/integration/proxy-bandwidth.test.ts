/** Bandwidth limits: traffic is slowed down, not cut, and nothing is lost. */
import { answering, type ManualDeployment } from '../support/manual-deployment.ts'
import { eventually, get, ok, post, proxyTest, readAnswer, tenant } from '../support/proxy-lab.ts'

const KIB = 1024
const PIECE = Buffer.alloc(32 * KIB, 'x')
/** A tenth of a second's worth passes at once; timers come up to 100 ms late. */
const slowEnough = (bytes: number, bytesPerSecond: number): number =>
  (bytes / bytesPerSecond) * 1_000 - 250

/** A private listener of one tenant, whose connections become tunnels. */
const tunnels = (
  deployment: ManualDeployment,
  limits: object,
  timeouts: object = {},
): Record<string, unknown> => ({
  listeners: [{ name: 'public', mode: 'private', port: 0, protocol: 'tcp' }],
  tenants: [tenant('acme', deployment, { address: '127.0.0.1', limits })],
  timeouts,
})

await proxyTest(
  'an answer is paced to the egress of its tenant, and arrives whole',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.proxy({
      tenants: [tenant('acme', deployment, { limits: { egress: '1MiB/s' } })],
    })
    const client = await lab.client(proxy)
    const total = 1024 * KIB
    await client.send(get())
    const upstream = await deployment.next()
    await upstream.readHead()
    const started = performance.now()
    await upstream.send(`HTTP/1.1 200 OK\r\ncontent-length: ${total}\r\n\r\n`)
    upstream.flood(PIECE, total)
    await client.readHead()
    t.equal((await client.readBytes(total)).length, total)
    const took = performance.now() - started
    t.ok(took >= slowEnough(total, 1024 * KIB) && took < 4_000, `${took} ms`)
  },
)

await proxyTest(
  'a body is paced to the ingress of its tenant, before its answer too',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.proxy({
      tenants: [tenant('acme', deployment, { limits: { ingress: '1MiB/s' } })],
    })
    const client = await lab.client(proxy)
    const total = 1024 * KIB
    await client.send(post('', `content-length: ${total}\r\n`))
    const upstream = await deployment.next()
    await upstream.readHead()
    const started = performance.now()
    client.flood(PIECE, total)
    t.equal((await upstream.readBytes(total)).length, total)
    const took = performance.now() - started
    t.ok(took >= slowEnough(total, 1024 * KIB) && took < 4_000, `${took} ms`)
    await upstream.send(ok())
    t.equal((await readAnswer(client)).status, 200)
  },
)

await proxyTest('a slow bandwidth is no body timeout', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({
    tenants: [tenant('acme', deployment, { limits: { ingress: '64KiB/s' } })],
    timeouts: { body: '200ms' },
  })
  const client = await lab.client(proxy)
  const total = 96 * KIB
  await client.send(post('', `content-length: ${total}\r\n`))
  const upstream = await deployment.next()
  await upstream.readHead()
  client.flood(PIECE, total)
  await upstream.readBytes(total)
  await upstream.send(ok())
  t.equal((await readAnswer(client)).status, 200)
})

await proxyTest(
  'many small answers are held to the bandwidth like one large one',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('x'.repeat(16 * KIB))) })
    const proxy = await lab.proxy({
      tenants: [tenant('acme', deployment, { limits: { egress: '512KiB/s' } })],
    })
    const client = await lab.client(proxy)
    const started = performance.now()
    for (let call = 0; call < 32; call++) {
      await client.send(get())
      t.equal((await readAnswer(client)).body.length, 16 * KIB)
    }
    const took = performance.now() - started
    t.ok(took >= slowEnough(512 * KIB, 512 * KIB) && took < 4_000, `${took} ms`)
  },
)

for (const direction of ['ingress', 'egress']) {
  await proxyTest(
    `a tunnel is paced by ${direction}, and loses nothing at its end`,
    async (t, lab) => {
      const deployment = await lab.deployment()
      const proxy = await lab.proxy(tunnels(deployment, { [direction]: '1MiB/s' }))
      const client = await lab.client(proxy)
      const upstream = await deployment.next()
      const [writer, reader] = direction === 'ingress' ? [client, upstream] : [upstream, client]
      const total = 1024 * KIB
      const started = performance.now()
      await writer.send(Buffer.alloc(total, 'y'))
      writer.end()
      t.equal((await reader.readToEnd()).length, total)
      reader.end()
      const took = performance.now() - started
      t.ok(took >= slowEnough(total, 1024 * KIB) && took < 4_000, `${took} ms`)
    },
  )
}

for (const direction of ['ingress', 'egress'] as const) {
  await proxyTest(
    `what a tunnel has had beyond the ${direction} of its tenant holds up the next one`,
    async (t, lab) => {
      const deployment = await lab.deployment()
      const proxy = await lab.proxy(tunnels(deployment, { [direction]: '16KiB/s' }))
      const started = performance.now()
      for (let opened = 0; opened < 4; opened++) {
        const client = await lab.client(proxy)
        // In one piece, and so not held back itself: half a second's worth.
        const piece = Buffer.alloc(8 * KIB, 'y')
        if (direction === 'ingress') await client.send(piece)
        const upstream = await deployment.next()
        if (direction === 'egress') await upstream.send(piece)
        await (direction === 'egress' ? client : upstream).readBytes(piece.length)
      }
      const took = performance.now() - started
      t.ok(took >= slowEnough(24 * KIB, 16 * KIB) && took < 4_000, `${took} ms`)
    },
  )
}

await proxyTest(
  'a tunnel that would wait for bandwidth longer than timeouts.response is closed, and counted as limited',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.proxy(tunnels(deployment, { ingress: '4KiB/s' }, { response: '1s' }))
    const first = await lab.client(proxy)
    await first.send(Buffer.alloc(8 * KIB, 'y'))
    await (await deployment.next()).readBytes(8 * KIB)
    const second = await lab.client(proxy)
    t.equal(await second.readToEnd(), '', 'closed without a word')
    t.match(proxy.limited(), { ingress: 1 })
    t.equal(deployment.peers.length, 1, 'the deployment saw nothing of it')
  },
)

await proxyTest(
  'tunnels that wait for bandwidth and lose their clients leave nothing behind: others of the tenant go on',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.proxy(tunnels(deployment, { ingress: '8KiB/s' }))
    const first = await lab.client(proxy)
    await first.send(Buffer.alloc(16 * KIB, 'y'))
    await (await deployment.next()).readBytes(16 * KIB)
    for (let gone = 0; gone < 8; gone++) (await lab.client(proxy)).reset()
    first.reset()
    await eventually(() => proxy.worker.openConnections === 0)
    const before = deployment.peers.length
    const last = await lab.client(proxy)
    await last.send('z')
    await eventually(() => deployment.peers.length > before)
    t.equal(await deployment.peers.at(-1)?.readBytes(1), 'z')
    t.same(proxy.limited(), {}, 'nobody was refused')
  },
)

await proxyTest(
  'connections of one tenant share its bandwidth, and another tenant does not feel it',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok('x'.repeat(256 * KIB))) })
    const proxy = await lab.proxy({
      tenants: [
        tenant('acme', deployment, { limits: { egress: '512KiB/s' } }),
        tenant('globex', deployment),
      ],
    })
    const started = performance.now()
    let free = 0
    const call = async (host: string): Promise<number> => {
      const client = await lab.client(proxy)
      await client.send(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
      await readAnswer(client)
      return performance.now() - started
    }
    const paced = Promise.all([call('acme.test'), call('acme.test')])
    free = await call('globex.test')
    const took = Math.max(...(await paced))
    t.ok(free < 400, `${free} ms for the other tenant`)
    t.ok(took >= slowEnough(512 * KIB, 512 * KIB), `${took} ms for both`)
  },
)

await proxyTest('a client that vanishes while it is paced leaves nothing', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({
    tenants: [tenant('acme', deployment, { limits: { egress: '64KiB/s', concurrency: 1 } })],
  })
  const client = await lab.client(proxy)
  await client.send(get())
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send('HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n')
  upstream.flood(PIECE, 10_000_000)
  await client.readHead()
  client.reset()
  await eventually(() => proxy.worker.openConnections === 0)
  t.equal(proxy.worker.openConnections, 0)
  const next = await lab.client(proxy)
  await next.send(get())
  await (await deployment.next()).readHead()
})
