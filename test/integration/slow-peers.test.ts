/**
 * Peers that hold what they were given and do nothing with it: idle hoarders and half-open connections, in both versions of
 * HTTP. Those that move a byte now and then are in `proxy-slow-peers`, `proxy-timeouts` and `http2-slow-attacks`; floods in
 * `source-limits`. `docs/sources.md` has the table.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { t as root, test } from 'tap'
import { AMT } from '../support/amt.ts'
import { http2Test, outcomeOf, request, respond } from '../support/http2/http2-lab.ts'
import { answering } from '../support/manual-deployment.ts'
import { NetworkNamespace, WITHOUT_NAMESPACES } from '../support/network-namespace.ts'
import type { Peer } from '../support/peer.ts'
import { eventually, get, ok, post, proxyTest, readAnswer } from '../support/proxy-lab.ts'
import { FIT_FOR_TESTS, MIXER, readUntil, readyLine } from '../support/running-amt.ts'

// One of them waits until the kernel gives a client up.
root.setTimeout(90_000)

const HTTP_ONLY = {
  listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }],
}
const SOON = { idle: '200ms' }

await proxyTest(
  'idle hoarders: who connects and says nothing is closed behind the idle timeout',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { ...HTTP_ONLY, timeouts: SOON })
    const clients: Peer[] = []
    for (let i = 0; i < 20; i++) clients.push(await lab.client(proxy))
    for (const client of clients)
      await client.until(() => client.ended || client.closed, 'the end of the connection')
    await eventually(() => proxy.worker.openConnections === 0)
    t.equal(proxy.worker.openConnections, 0)
    t.equal(deployment.peers.length, 0, 'nothing was held for them at the deployment')
  },
)

await proxyTest(
  'idle hoarders: an address has no more of them than its connections, and others get in',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok()) })
    const proxy = await lab.forOne(deployment, { ...HTTP_ONLY, sources: { connections: 5 } })
    for (let i = 0; i < 50; i++) await lab.clientFrom(proxy, '127.0.0.9')
    await eventually(() => proxy.rejected('source_connections') === 45)
    t.equal(proxy.worker.openConnections, 5)
    const client = await lab.client(proxy)
    await client.send(get())
    t.equal((await readAnswer(client)).status, 200)
  },
)

await http2Test(
  'idle hoarders over HTTP/2: before a call and behind one, the connection is ended, and said so',
  async (t, lab, http2) => {
    const deployment = await http2.deployment(stream => respond(stream))
    const tenants = [
      { id: 'acme', hosts: ['acme.test'], deployment: { endpoints: [deployment.url] } },
    ]
    const proxy = await lab.proxy({ tenants, timeouts: SOON })
    const silent = await http2.client(proxy)
    const served = await http2.client(proxy)
    t.equal(await outcomeOf(request(served)), '200 ok')
    await eventually(() => silent.over && served.over)
    t.ok(silent.over && served.over)
    t.equal(silent.goneAway?.code, 0)
    t.equal(served.goneAway?.code, 0)
    await eventually(() => proxy.worker.openConnections === 0)
    t.equal(proxy.worker.openConnections, 0)
  },
)

await http2Test(
  'idle hoarders over HTTP/2: an address has no more of them than its connections',
  async (t, lab, http2) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { sources: { connections: 2 } })
    const clients = [await http2.client(proxy), await http2.client(proxy)]
    await eventually(() => proxy.worker.openConnections === 2)
    const beyond = await http2.client(proxy)
    await eventually(() => beyond.over)
    t.ok(beyond.over)
    t.equal(proxy.rejected('source_connections'), 1)
    t.notOk(
      clients.some(({ over }) => over),
      'the others are left alone',
    )
  },
)

await http2Test(
  'connection churn over HTTP/2: connections of an address are counted as they come, and leave nothing',
  async (t, lab, http2) => {
    const deployment = await lab.deployment()
    const proxy = await lab.forOne(deployment, { sources: { newConnections: '1/s' } })
    const allowed = 10
    for (let i = 0; i < allowed + 5; i++) {
      const client = await http2.client(proxy)
      client.socket.destroy()
    }
    await eventually(() => proxy.rejected('source_connection_rate') > 0)
    t.ok(proxy.rejected('source_connection_rate') >= 3, 'a few may have come a second later')
    await eventually(() => proxy.worker.openConnections === 0)
    t.equal(proxy.worker.openConnections, 0)
  },
)

await proxyTest(
  'half-open connections: who ends its side behind a whole call has the answer, and is closed though it stays',
  async (t, lab) => {
    const deployment = await lab.deployment({ serve: answering(ok()) })
    const proxy = await lab.forOne(deployment)
    const client = await lab.client(proxy)
    await client.send(get())
    client.end()
    t.equal((await readAnswer(client)).status, 200)
    await eventually(() => proxy.worker.openConnections === 0)
    t.equal(proxy.worker.openConnections, 0)
  },
)

for (const [what, text] of [
  ['an idle connection', ''],
  ['half a head', 'GET / HTTP/1.1\r\nhost: acme'],
  ['half a body', post('', 'content-length: 10\r\n')],
] as const)
  await proxyTest(
    `half-open connections: who ends its side behind ${what} is closed at once`,
    async (t, lab) => {
      const deployment = await lab.deployment({ serve: answering(ok()) })
      const proxy = await lab.forOne(deployment)
      const client = await lab.client(proxy)
      await client.send(get())
      t.equal((await readAnswer(client)).status, 200)
      if (text !== '') await client.send(text)
      client.end()
      await eventually(() => proxy.worker.openConnections === 0)
      t.equal(proxy.worker.openConnections, 0)
    },
  )

for (const [what, text] of [
  ['less than a method', 'GET'],
  ['half a preface of HTTP/2', 'PRI * HT'],
] as const)
  await proxyTest(
    `half-open connections: who ends its side behind ${what}, its first bytes, is closed at once`,
    async (t, lab) => {
      const proxy = await lab.forOne(await lab.deployment(), HTTP_ONLY)
      const client = await lab.client(proxy)
      await client.send(text)
      client.end()
      await eventually(() => proxy.worker.openConnections === 0)
      t.equal(proxy.worker.openConnections, 0)
    },
  )

await http2Test(
  'half-open connections over HTTP/2: whole calls are answered, half ones end, and the connection is closed',
  async (t, lab, http2) => {
    const deployment = await lab.deployment({ serve: answering(ok()) })
    const proxy = await lab.forOne(deployment)
    const client = await http2.client(proxy)
    const whole = request(client)
    request(client, { method: 'POST', end: false })
    await eventually(() => whole.status === 200)
    client.socket.end()
    t.equal(await outcomeOf(whole), '200 ok')
    await eventually(() => proxy.worker.openConnections === 0)
    t.equal(proxy.worker.openConnections, 0)
  },
)

/** Connects to the port given and then only holds on. */
const HOLDER = `
require('node:net').connect(Number(process.argv[1]), '127.0.0.1', () => console.log('up')).on('error', () => {})`

await test('half-open connections: a client whose network is gone is found by TCP probes, long before it is idle', {
  skip: WITHOUT_NAMESPACES,
}, async t => {
  const network = await NetworkNamespace.create(t)
  const folder = t.testdir({ probed: {}, unprobed: {} })
  /** A proxy with a place for one connection, which is taken. */
  const occupied = async (name: string, probe: string, port: number): Promise<void> => {
    const file = join(folder, name, 'amt.yaml')
    const address = `127.0.0.1:${port}`
    await writeFile(
      file,
      JSON.stringify({
        ...FIT_FOR_TESTS,
        workers: 1,
        mixer: { ...MIXER, url: 'http://127.0.0.1:9' },
        timeouts: { probe, idle: '10m' },
        listeners: [{ name: 'public', mode: 'shared', address, protocol: 'http' }],
        sources: { connections: 1 },
      }),
    )
    await readyLine(network.program(t, AMT, 'proxy', '--config', file))
    await network.program(t, process.execPath, '-e', HOLDER, String(port)).line(/^up$/)
  }
  const free = async (port: number): Promise<boolean> => {
    const url = `http://127.0.0.1:${port}/`
    const args = ['--disable', '--silent', '--noproxy', '*', '--max-time', '5', url]
    return (await network.run('curl', ...args)).code === 0
  }
  /** Whether the kernel of the proxy still has the connection of who holds on. */
  const held = async (port: number): Promise<boolean> => {
    const { stdout } = await network.run('ss', '-Htn', 'state', 'established', `sport = :${port}`)
    return stdout.length > 0
  }
  await Promise.all([occupied('probed', '1s', 7080), occupied('unprobed', 'off', 7081)])
  t.notOk(await free(7080), 'the place is taken')
  t.notOk(await free(7081))
  await network.ip('link', 'set', 'lo', 'down')
  t.ok(await held(7080))
  // A second of silence, and ten probes a second apart.
  t.notOk(
    await readUntil(
      () => held(7080),
      isHeld => !isHeld,
      30_000,
    ),
    'the kernel gives it up',
  )
  t.ok(await held(7081))
  await network.ip('link', 'set', 'lo', 'up')
  t.ok(await free(7080), 'and free again')
  t.notOk(await free(7081), 'without probes nobody has noticed')
})
