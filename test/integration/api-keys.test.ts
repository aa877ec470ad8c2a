/** API keys at a whole worker: expiry on kept connections, rotation with overlap, keys in a URL. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Agent, request } from 'undici'
import { API_KEY_RANDOM_BYTES, formatApiKey } from '../../src/core/api-key.ts'
import { FakeClock } from '../support/fake-clock.ts'
import type { Peer } from '../support/peer.ts'
import { codeOf, fieldsOf, ok, proxyTest, readAnswer } from '../support/proxy-lab.ts'
import { proxyConfig, type RunningProxy } from '../support/start-proxy.ts'

const NOW = Date.UTC(2026, 10, 26)
const LISTENERS = [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }]

const newKey = (tenant: string): string => formatApiKey(tenant, randomBytes(API_KEY_RANDOM_BYTES))
const digestOf = (key: string): string => `sha256:${createHash('sha256').update(key).digest('hex')}`

/** A tenant that is known by these keys and by nothing else. */
function withKeys(id: string, port: number, ...credentials: object[]): Record<string, unknown> {
  return { id, credentials, deployment: { endpoints: [`http://127.0.0.1:${port}`] } }
}

const change = (proxy: RunningProxy, generation: number, tenants: object[]): Promise<string[]> => {
  const config = proxyConfig({ listeners: LISTENERS, tenants })
  return proxy.change(config.tenants, config.limits, generation)
}

const get = (target: string, ...lines: string[]): string =>
  `GET ${target} HTTP/1.1\r\nhost: orders.test\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`

/** One call on the connection `client`: `ok`, or the status and code of the refusal. */
async function call(client: Peer, ...lines: string[]): Promise<string> {
  await client.send(get('/', ...lines))
  const { status, body } = await readAnswer(client)
  return status === 200 ? body : `${status} ${codeOf(body)}`
}

await proxyTest(
  'a key is refused at the moment of its expiry on a kept connection, without a reload',
  async (t, lab) => {
    const clock = new FakeClock(NOW)
    const deployment = await lab.deployment({ serve: serveOk })
    const [short, long] = [newKey('acme'), newKey('acme')]
    const expires = new Date(NOW + 700).toISOString()
    const proxy = await lab.proxy(
      {
        tenants: [
          withKeys(
            'acme',
            deployment.port,
            { apiKey: digestOf(short), label: 'short', expires },
            { apiKey: digestOf(long), label: 'long' },
          ),
        ],
      },
      { clock },
    )
    const inField = await lab.client(proxy)
    const inAuthorization = await lab.client(proxy)
    // Often enough for each connection to remember its key.
    for (const ms of [0, 100, 100, 499]) {
      clock.ms += ms
      t.equal(await call(inField, `x-api-key: ${short}`), 'ok')
      t.equal(await call(inAuthorization, `authorization: ApiKey ${short}`), 'ok')
    }
    clock.ms += 1
    t.equal(await call(inField, `x-api-key: ${short}`), '401 credential_expired')
    t.equal(await call(inAuthorization, `authorization: ApiKey ${short}`), '401 credential_expired')
    const fresh = await lab.client(proxy)
    t.equal(await call(fresh, `x-api-key: ${short}`), '401 credential_expired', 'from the cache')
    t.equal(await call(inField, `x-api-key: ${long}`), 'ok', 'the same connection, another key')
    t.equal(proxy.rejected('credential_expired'), 3)
  },
)

await proxyTest(
  'two keys are valid at once, and removing one leaves connections and calls of the other unharmed',
  async (t, lab) => {
    const held = Promise.withResolvers<() => void>()
    const server = createServer((incoming, outgoing) => {
      if (incoming.url !== '/held') outgoing.end('ok')
      else {
        outgoing.write('begun ')
        held.resolve(() => outgoing.end('and ended'))
      }
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const { port } = server.address() as AddressInfo
    const [old, next] = [newKey('acme'), newKey('acme')]
    const other = newKey('globex')
    const globex = withKeys('globex', port, { apiKey: digestOf(other) })
    const both = [
      { apiKey: digestOf(old), label: 'ci 2026' },
      { apiKey: digestOf(next), label: 'ci 2027' },
    ]
    const proxy = await lab.proxy({
      tenants: [withKeys('acme', port, both[0] as object), globex],
      // Who goes on with a key that was removed would have to wait.
      sources: { badCredentials: 'off' },
    })
    const origin = `http://127.0.0.1:${proxy.port('public')}`
    const agentOf = (): Agent => new Agent({ connections: 8, pipelining: 1 })
    const [agent, agentOfOld, agentOfOther] = [agentOf(), agentOf(), agentOf()]
    t.teardown(async () => {
      for (const each of [agent, agentOfOld, agentOfOther]) await each.close()
    })
    let connections = 0
    agent.on('connect', () => connections++)
    const ask = async (dispatcher: Agent, key: string, path = '/'): Promise<string> => {
      const answer = await request(`${origin}${path}`, {
        dispatcher,
        headers: { 'x-api-key': key },
      })
      const text = await answer.body.text()
      return answer.statusCode === 200 ? text : `${answer.statusCode} ${codeOf(text)}`
    }
    /** So many calls with each key, eight at once, and how often each result came. */
    const load = async (calls: number): Promise<Record<string, Record<string, number>>> => {
      const results: Record<string, Record<string, number>> = { old: {}, next: {}, other: {} }
      const kinds = [
        ['old', agentOfOld, old],
        ['next', agent, next],
        ['other', agentOfOther, other],
      ] as const
      await Promise.all(
        kinds.flatMap(([kind, dispatcher, key]) =>
          Array.from({ length: 8 }, async () => {
            for (let i = 0; i < calls / 8; i += 1) {
              const result = await ask(dispatcher, key)
              const counts = results[kind] as Record<string, number>
              counts[result] = (counts[result] ?? 0) + 1
            }
          }),
        ),
      )
      return results
    }

    t.match(await load(80), { old: { ok: 80 }, next: { '401 credential_invalid': 80 } })
    t.same(await change(proxy, 2, [withKeys('acme', port, ...both), globex]), [])
    t.same(await load(400), { old: { ok: 400 }, next: { ok: 400 }, other: { ok: 400 } })
    const before = connections
    const underWay = ask(agent, next, '/held')
    const release = await held.promise

    const during = load(1_600)
    t.same(await change(proxy, 3, [withKeys('acme', port, both[1] as object), globex]), [])
    const { old: gone, next: kept, other: others } = await during
    t.same(kept, { ok: 1_600 })
    t.same(others, { ok: 1_600 })
    t.same(
      Object.keys(gone ?? {}).filter(result => result !== 'ok'),
      ['401 credential_invalid'],
    )
    release()
    t.equal(await underWay, 'begun and ended', 'a call under way')
    t.same(await load(80), {
      old: { '401 credential_invalid': 80 },
      next: { ok: 80 },
      other: { ok: 80 },
    })
    t.equal(connections, before, 'no connection was closed')
  },
)

await proxyTest(
  'a tunnel that began with a key goes on when the key is removed, or the other one',
  async (t, lab) => {
    const deployment = await lab.deployment()
    const [old, next] = [newKey('acme'), newKey('acme')]
    const credentials = [old, next].map(key => ({ apiKey: digestOf(key) }))
    const proxy = await lab.proxy({ tenants: [withKeys('acme', deployment.port, ...credentials)] })
    const tunnels: [client: Peer, upstream: Peer][] = []
    for (const key of [old, next]) {
      const client = await lab.client(proxy)
      await client.send(get('/', `x-api-key: ${key}`, 'connection: upgrade', 'upgrade: echo'))
      const upstream = await deployment.next()
      await upstream.readHead()
      await upstream.send(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n',
      )
      t.match(await client.readHead(), ' 101 ')
      tunnels.push([client, upstream])
    }
    const kept = withKeys('acme', deployment.port, credentials[1] as object)
    t.same(await change(proxy, 2, [kept]), [])
    for (const [client, upstream] of tunnels) {
      await client.send('still there?')
      t.equal(await upstream.read('?'), 'still there?')
      await upstream.send('yes!')
      t.equal(await client.read('!'), 'yes!')
    }
  },
)

await proxyTest('a key in a URL counts only where a parameter is named', async (t, lab) => {
  const key = newKey('acme')
  const deployment = await lab.deployment()
  const tenants = [
    { ...withKeys('acme', deployment.port, { apiKey: digestOf(key) }), hosts: ['orders.test'] },
  ]
  const proxy = await lab.proxy({ tenants })
  const client = await lab.client(proxy)
  await client.send(get(`/?api_key=${key}&a=1`))
  const upstream = await deployment.next()
  const head = await upstream.readHead()
  t.match(head, `GET /?api_key=${key}&a=1 HTTP/1.1`, 'it is the application’s own parameter')
  await upstream.send(ok())
  t.equal((await readAnswer(client)).status, 200)
  const [record] = proxy.usage().filter(({ calls }) => calls > 0)
  t.equal(record?.routability, 'private', 'routed by its host alone')
})

await proxyTest(
  'a key in a named parameter is taken, in any percent-encoding, and stripped before the deployment',
  async (t, lab) => {
    const key = newKey('acme')
    const utf8 = 'schl\u00fcssel+1'
    const deployment = await lab.deployment()
    const keys = [key, utf8].map(each => ({ apiKey: digestOf(each) }))
    const proxy = await lab.proxy({
      authentication: { apiKey: { query: 'api_key' } },
      tenants: [withKeys('acme', deployment.port, ...keys)],
    })
    const client = await lab.client(proxy)
    const encoded = Array.from(key, each => `%${each.charCodeAt(0).toString(16)}`).join('')
    const cases: [string, string][] = [
      [`/a?api_key=${key}`, '/a'],
      [`/a?b=1&api_key=${key}&c=2`, '/a?b=1&c=2'],
      [`/a?api_key=${encoded}&c=2`, '/a?c=2'],
      [`/a?api%5Fkey=${key}&c=%zz`, '/a?c=%zz'],
      [`/a?%61%70i_key=${encoded.toUpperCase()}`, '/a'],
      [`/a?api_key=schl%C3%BCssel%2B1`, '/a'],
      [`/a?api_key=schl%c3%bcssel+1`, '/a'],
      [`/a?API_KEY=x&api_key=${key}`, '/a?API_KEY=x'],
      [`http://orders.test/a?api_key=${key}`, '/a'],
    ]
    let upstream: Peer | undefined
    for (const [target, forwarded] of cases) {
      await client.send(get(target))
      upstream ??= await deployment.next()
      const head = await upstream.readHead()
      t.equal(head.split('\r\n')[0], `GET ${forwarded} HTTP/1.1`, target)
      t.same(fieldsOf(head, 'x-amt-tenant'), ['acme'])
      await upstream.send(ok())
      t.equal((await readAnswer(client)).status, 200)
    }
  },
)

await proxyTest(
  'two keys in one query, or one that cannot be read, are refused',
  async (t, lab) => {
    const key = newKey('acme')
    const deployment = await lab.deployment()
    const proxy = await lab.proxy({
      authentication: { apiKey: { query: 'api_key' } },
      tenants: [withKeys('acme', deployment.port, { apiKey: digestOf(key) })],
    })
    const client = await lab.client(proxy)
    for (const target of [
      `/?api_key=${key}&api_key=${key}`,
      `/?api_key=${key}&api%5fkey=other`,
      `/?api_key=${key}&api_key=`,
      `/?api_key=${key}%`,
      `/?api_key=${key}%4`,
      `/?api_key=${key}%g0`,
    ]) {
      await client.send(get(target))
      const { status, body } = await readAnswer(client)
      t.same([status, codeOf(body)], [400, 'credential_ambiguous'], target)
    }
    await client.send(get(`/?api_key=${key}`, `x-api-key: ${key}`))
    t.equal(codeOf((await readAnswer(client)).body), 'credential_ambiguous', 'in query and field')
    t.equal(deployment.peers.length, 0)
  },
)

await proxyTest(
  'a key in a URL reaches the deployment where credentials are forwarded',
  async (t, lab) => {
    const key = newKey('acme')
    const deployment = await lab.deployment()
    const proxy = await lab.proxy({
      authentication: { apiKey: { query: 'api_key' }, forwardCredentials: true },
      tenants: [withKeys('acme', deployment.port, { apiKey: digestOf(key) })],
    })
    const client = await lab.client(proxy)
    await client.send(get(`/?a=1&api_key=${key}`))
    const upstream = await deployment.next()
    t.match(await upstream.readHead(), `GET /?a=1&api_key=${key} HTTP/1.1`)
    await upstream.send(ok())
    t.equal((await readAnswer(client)).status, 200)
  },
)

/** Answers everything on the connection. */
async function serveOk(peer: Peer): Promise<void> {
  try {
    for (;;) {
      await peer.readHead()
      await peer.send(ok())
    }
  } catch {
    // The test is over.
  }
}
