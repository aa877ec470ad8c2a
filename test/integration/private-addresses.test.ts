/** Private mode: whose a connection is by the address at which it arrives, while addresses come, go and change hands. */
import { once } from 'node:events'
import { TestAuthority } from '../support/certificates.ts'
import { freePorts } from '../support/free-ports.ts'
import { answering } from '../support/manual-deployment.ts'
import {
  codeOf,
  eventually,
  get,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { proxyConfig, type RunningProxy } from '../support/start-proxy.ts'

const BINDS = ['each', 'wildcard'] as const
const ONE = '127.0.3.1'
const TWO = '127.0.3.2'
const CALL = get().replace('acme.test', 'any.test')

interface Private {
  readonly proxy: RunningProxy
  readonly port: number
  /** Other addresses of the tenants, by their ids. */
  readonly move: (addresses: Readonly<Record<string, string | undefined>>) => Promise<string[]>
}

/** `acme` and `globex`, each with a deployment that answers with its id. */
async function privateProxy(
  lab: ProxyLab,
  bind: string,
  addresses: Readonly<Record<string, string | undefined>>,
  more: Record<string, unknown> = {},
): Promise<Private> {
  const deployments = {
    acme: await lab.deployment({ serve: answering(ok('acme')) }),
    globex: await lab.deployment({ serve: answering(ok('globex')) }),
  }
  const [port = 0] = await freePorts(1)
  const listeners = [{ name: 'public', mode: 'private', port, bind, ...more }]
  const tenantsAt = (at: typeof addresses): object[] =>
    Object.entries(deployments).map(([id, deployment]) =>
      tenant(id, deployment, {
        hosts: [],
        ...(at[id] === undefined ? {} : { address: at[id] }),
      }),
    )
  const proxy = await lab.proxy({ listeners, tenants: tenantsAt(addresses) })
  let generation = 1
  const move: Private['move'] = async next => {
    const { tenants, limits } = proxyConfig({ listeners, tenants: tenantsAt(next) })
    generation += 1
    return proxy.change(tenants, limits, generation)
  }
  return { proxy, port, move }
}

for (const bind of BINDS) {
  await proxyTest(`the address decides, of IPv4 and IPv6 (${bind})`, async (t, lab) => {
    const { port } = await privateProxy(lab, bind, { acme: ONE, globex: '::1' })
    for (const [address, id] of [
      [ONE, 'acme'],
      ['::1', 'globex'],
    ] as const) {
      const client = await lab.clientAt(port, address)
      await client.send(CALL)
      t.equal((await readAnswer(client)).body, id)
    }
  })

  await proxyTest(`an address in the mapped form is the same address (${bind})`, async (t, lab) => {
    const { port } = await privateProxy(lab, bind, { acme: `::ffff:${ONE}` })
    const client = await lab.clientAt(port, ONE)
    await client.send(CALL)
    t.equal((await readAnswer(client)).body, 'acme')
  })

  await proxyTest(
    `an address that moves to another tenant carries no kept connection's call to it (${bind})`,
    async (t, lab) => {
      const { port, move } = await privateProxy(lab, bind, { acme: ONE, globex: TWO })
      const idle = await lab.clientAt(port, ONE)
      await idle.send(CALL)
      t.equal((await readAnswer(idle)).body, 'acme')
      const other = await lab.clientAt(port, TWO)
      await other.send(CALL)
      t.equal((await readAnswer(other)).body, 'globex')
      // They swap: each one's kept connection is at the other's address now.
      t.same(await move({ acme: TWO, globex: ONE }), [])
      for (const client of [idle, other]) {
        client.take()
        t.equal(await client.readToEnd(), '', 'a connection that rests is ended')
        client.end()
      }
      for (const [address, id] of [
        [ONE, 'globex'],
        [TWO, 'acme'],
      ] as const) {
        const client = await lab.clientAt(port, address)
        await client.send(CALL)
        t.equal((await readAnswer(client)).body, id, 'who comes now is the new owner’s')
      }
    },
  )

  await proxyTest(
    `a connection that has not said a word when its address moves is nobody's (${bind})`,
    async (t, lab) => {
      const { proxy, port, move } = await privateProxy(lab, bind, { acme: ONE })
      const silent = await lab.clientAt(port, ONE)
      await eventually(() => proxy.worker.openConnections === 1)
      t.same(await move({ globex: ONE }), [])
      await silent.send(CALL)
      const answer = await silent.readToEnd()
      t.match(answer, /^HTTP\/1\.1 403 [^]*about:amt\/tenant_mismatch/)
      silent.end()
    },
  )

  await proxyTest(
    `a tunnel stays with the deployment that it was made to (${bind})`,
    async (t, lab) => {
      const acme = await lab.deployment()
      const globex = await lab.deployment()
      const [port = 0] = await freePorts(1)
      const listeners = [{ name: 'public', mode: 'private', port, bind, protocol: 'tcp' }]
      const at = (first: string, second: string): object[] => [
        tenant('acme', acme, { address: first }),
        tenant('globex', globex, { address: second }),
      ]
      const proxy = await lab.proxy({ listeners, tenants: at(ONE, TWO) })
      const client = await lab.clientAt(port, ONE)
      await client.send('before')
      const upstream = await acme.next()
      t.equal(await upstream.readBytes(6), 'before')
      const { tenants, limits } = proxyConfig({ listeners, tenants: at(TWO, ONE) })
      t.same(await proxy.change(tenants, limits, 2), [])
      await client.send('after')
      t.equal(await upstream.readBytes(5), 'after')
      t.equal(globex.peers.length, 0)
      const next = await lab.clientAt(port, ONE)
      await next.send('new')
      t.equal(await (await globex.next()).readBytes(3), 'new')
      t.match(
        proxy.usage().filter(({ tenant: id }) => id === 'globex'),
        [{ ingress: 3 }],
        'and is counted for it',
      )
    },
  )

  await proxyTest(
    `a removed address ends what rests; others notice nothing (${bind})`,
    async (t, lab) => {
      const { port, move } = await privateProxy(lab, bind, { acme: ONE, globex: TWO })
      const [gone, stays] = [await lab.clientAt(port, ONE), await lab.clientAt(port, TWO)]
      for (const client of [gone, stays]) {
        await client.send(CALL)
        await readAnswer(client)
      }
      t.same(await move({ globex: TWO }), [])
      gone.take()
      t.equal(await gone.readToEnd(), '')
      gone.end()
      await stays.send(CALL)
      t.equal((await readAnswer(stays)).body, 'globex')
      if (bind === 'each') {
        await t.rejects(lab.clientAt(port, ONE), { code: 'ECONNREFUSED' })
        t.same(await move({ acme: ONE, globex: TWO }), [])
        const back = await lab.clientAt(port, ONE)
        await back.send(CALL)
        t.equal((await readAnswer(back)).body, 'acme', 'and comes back')
      }
    },
  )

  await proxyTest(
    `addresses move at random, and no connection has answers of two tenants (${bind})`,
    async (t, lab) => {
      const { port, move } = await privateProxy(lab, bind, { acme: ONE, globex: TWO })
      const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31)
      t.comment(`FUZZ_SEED=${seed}`)
      const random = new SeededRandom(seed)
      let swapped = false
      let moved = false
      let wrong = 0
      let answers = 0
      const visit = async (address: string): Promise<void> => {
        let owner: string | undefined
        const client = await lab.clientAt(port, address)
        for (let last = 0; last < 3 && !client.ended && !client.closed; last += moved ? 1 : 0) {
          client.take()
          await client.send(CALL)
          await client.until(() => client.text.includes('\r\n\r\n') || client.ended, 'an answer')
          if (!client.text.includes('\r\n\r\n')) break
          const { status, body } = await readAnswer(client)
          answers += 1
          owner ??= body
          if (status === 200 ? body !== owner : codeOf(body) !== 'tenant_mismatch') wrong += 1
        }
        client.reset()
      }
      for (let round = 0; round < 30; round++) {
        moved = false
        const visits = [ONE, TWO, ONE, TWO].map(visit)
        await new Promise(resolve => setTimeout(resolve, random.below(10)))
        swapped = !swapped
        await move(swapped ? { acme: TWO, globex: ONE } : { acme: ONE, globex: TWO })
        moved = true
        await Promise.all(visits)
      }
      t.equal(wrong, 0)
      t.ok(answers > 120, `${answers} answers`)
    },
  )
}

for (const protocol of ['auto', 'http', 'tcp']) {
  await proxyTest(
    `wildcard: a connection to an address of no tenant is refused at once (${protocol})`,
    async (t, lab) => {
      const long = { timeouts: { detect: '1h', header: '1h', handshake: '1h' } }
      const deployment = await lab.deployment()
      const proxy = await lab.proxy({
        listeners: [{ name: 'public', mode: 'private', port: 0, bind: 'wildcard', protocol }],
        tenants: [tenant('acme', deployment, { address: ONE })],
        ...long,
      })
      for (const address of ['127.0.0.1', TWO, '::1']) {
        const client = await lab.client(proxy, 'public', address)
        await client.until(() => client.ended || client.closed, 'the close')
        t.equal(client.total, 0)
      }
      t.equal(proxy.rejected('unroutable'), 3)
    },
  )
}

await proxyTest('wildcard: also before a TLS handshake', async (t, lab) => {
  const ca = await TestAuthority.create(t)
  const { certPath, keyPath } = await ca.server(['acme.test'])
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({
    listeners: [
      {
        name: 'public',
        mode: 'private',
        port: 0,
        bind: 'wildcard',
        tls: { certificates: [{ cert: certPath, key: keyPath }] },
      },
    ],
    tenants: [tenant('acme', deployment, { address: ONE })],
  })
  const client = await lab.client(proxy)
  await client.until(() => client.ended || client.closed, 'the close')
  t.equal(proxy.rejected('unroutable'), 1)
  t.equal(proxy.rejected(), 1)
})

await proxyTest(
  'an address that is in use is a problem that names the tenant, and the others serve',
  async (t, lab) => {
    const { port, move } = await privateProxy(lab, 'each', { acme: ONE })
    await lab.deployment({ host: TWO, port })
    t.same(await move({ acme: ONE, globex: TWO }), [
      `listener "public": ${TWO}:${port} of the tenant globex: the address is already in use by another process (EADDRINUSE)`,
    ])
    const client = await lab.clientAt(port, ONE)
    await client.send(CALL)
    t.equal((await readAnswer(client)).body, 'acme')
  },
)

await proxyTest('two listeners of each kind have the addresses of all tenants', async (t, lab) => {
  const deployment = await lab.deployment({ serve: answering(ok()) })
  const [a = 0, b = 0, c = 0] = await freePorts(3)
  const proxy = await lab.proxy({
    listeners: [
      { name: 'a', mode: 'private', port: a },
      { name: 'b', mode: 'private', port: b, protocol: 'http' },
      { name: 'c', mode: 'private', port: c, bind: 'wildcard' },
    ],
    tenants: [tenant('acme', deployment, { hosts: [], address: ONE })],
  })
  for (const port of [a, b, c]) {
    const client = await lab.clientAt(port, ONE)
    await client.send(CALL)
    t.equal((await readAnswer(client)).status, 200)
  }
  t.same(
    proxy.bound.map(({ listener, tenant: id }) => [listener, id]),
    [
      ['a', 'acme'],
      ['b', 'acme'],
      ['c', undefined],
    ],
  )
})

await proxyTest(
  'a call under way ends with its answer, and then the connection',
  async (t, lab) => {
    const acme = await lab.deployment()
    const globex = await lab.deployment()
    const listeners = [{ name: 'public', mode: 'private', port: 0, bind: 'wildcard' }]
    const at = (first: string, second: string): object[] => [
      tenant('acme', acme, { hosts: [], address: first }),
      tenant('globex', globex, { hosts: [], address: second }),
    ]
    const proxy = await lab.proxy({ listeners, tenants: at(ONE, TWO) })
    const client = await lab.client(proxy, 'public', ONE)
    // The second call waits behind the first when the address moves.
    await client.send(CALL)
    const upstream = await acme.next()
    await upstream.readHead()
    await client.send(CALL)
    const { tenants, limits } = proxyConfig({ listeners, tenants: at(TWO, ONE) })
    t.same(await proxy.change(tenants, limits, 2), [])
    await upstream.send(ok('acme'))
    t.equal((await readAnswer(client)).body, 'acme')
    await once(client.socket, 'end')
    client.end()
    t.equal(globex.peers.length, 0)
    t.notMatch(client.text, /globex/)
  },
)
