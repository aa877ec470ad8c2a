/** Header fields: what belongs to one hop, what the proxy alone may say, and which credentials go on. */
import { type Test } from 'tap'
import type { Peer } from '../support/peer.ts'
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

/** Sends `request`, has it answered with `answer`, and returns both heads as they arrived. */
/** The name of the service, and which proxy it is. */
const OUR_VIA = /^1\.1 amt-[0-9a-f]{12}$/

async function exchange(
  lab: ProxyLab,
  request: string,
  { answer = ok(), ...input }: Record<string, unknown> & { answer?: string } = {},
): Promise<{ request: string; answer: string; upstream: Peer; client: Peer }> {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment, input)
  const client = await lab.client(proxy)
  await client.send(request)
  const upstream = await deployment.next()
  const requestHead = await upstream.readHead()
  await upstream.send(answer)
  return { request: requestHead, answer: await client.readHead(), upstream, client }
}

function absent(t: Test, head: string, names: readonly string[]): void {
  for (const name of names) t.same(fieldsOf(head, name), [], `no ${name}`)
}

await proxyTest('fields of one hop end at the proxy, in a request', async (t, lab) => {
  const { request } = await exchange(
    lab,
    get(
      '/',
      'connection: x-private, Keep-Alive\r\nkeep-alive: timeout=5\r\nX-Private: 1\r\nproxy-connection: x\r\nproxy-authorization: Basic eA==\r\nx-stays: 1\r\nte: gzip\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n',
    ),
  )
  absent(t, request, [
    'connection',
    'keep-alive',
    'x-private',
    'proxy-connection',
    'proxy-authorization',
    'te',
    'upgrade',
    'http2-settings',
  ])
  t.same(fieldsOf(request, 'x-stays'), ['1'])
})

await proxyTest('fields of one hop end at the proxy, in an answer', async (t, lab) => {
  const { answer } = await exchange(lab, get(), {
    answer: ok(
      '',
      'connection: x-private, keep-alive\r\nkeep-alive: timeout=5\r\nX-Private: 1\r\nproxy-authenticate: Basic\r\nproxy-connection: x\r\nupgrade: h2c\r\nx-stays: 1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n',
    ),
  })
  absent(t, answer, [
    'connection',
    'keep-alive',
    'x-private',
    'proxy-authenticate',
    'proxy-connection',
    'upgrade',
  ])
  t.same(fieldsOf(answer, 'x-stays'), ['1'])
  t.same(fieldsOf(answer, 'set-cookie'), ['a=1', 'b=2'], 'repeated fields stay apart')
})

/** Everything that we write into a request, and some of what we read of it. */
const SET_BY_US = [
  'host',
  'content-length',
  'transfer-encoding',
  'x-amt-tenant',
  'x-request-id',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'forwarded',
  'via',
  'authorization',
  'x-api-key',
  'expect',
]

await proxyTest('connection takes nothing away that the proxy sets', async (t, lab) => {
  const credentials = 'authorization: Basic eDp5\r\nx-api-key: not-ours\r\n'
  for (const name of [SET_BY_US.join(', '), SET_BY_US.join(',').toUpperCase()]) {
    const { request, upstream } = await exchange(
      lab,
      `POST / HTTP/1.1\r\nhost: acme.test\r\nconnection: ${name}\r\nvia: 1.0 fred\r\n${credentials}content-length: 3\r\n\r\nabc`,
    )
    t.equal(await upstream.readBytes(3), 'abc')
    t.same(fieldsOf(request, 'host'), ['acme.test'])
    t.same(fieldsOf(request, 'content-length'), ['3'])
    t.same(fieldsOf(request, 'x-amt-tenant'), ['acme'])
    t.same(fieldsOf(request, 'x-request-id').length, 1)
    t.same(fieldsOf(request, 'x-forwarded-for'), ['127.0.0.1'])
    t.same(fieldsOf(request, 'x-forwarded-proto'), ['http'])
    t.same(fieldsOf(request, 'x-forwarded-host'), ['acme.test'])
    t.same(fieldsOf(request, 'forwarded').length, 1)
    t.match(fieldsOf(request, 'via').join(), OUR_VIA, 'the line of a former hop may go, not ours')
    t.same(fieldsOf(request, 'authorization'), ['Basic eDp5'])
    t.same(fieldsOf(request, 'x-api-key'), ['not-ours'])
    absent(t, request, ['connection'])
  }
})

await proxyTest('a credential that connection names is still one', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  const lines = 'connection: x-api-key, authorization\r\n'
  await client.send(get('/', `${lines}x-api-key: ${keyOf('stranger')}\r\n`))
  t.equal(codeOf((await readAnswer(client)).body), 'credential_invalid')
  await client.send(
    `GET / HTTP/1.1\r\nhost: a\r\n${lines}authorization: ApiKey ${keyOf('acme')}\r\n\r\n`,
  )
  const upstream = await deployment.next()
  absent(t, await upstream.readHead(), ['authorization', 'x-api-key', 'connection'])
  await upstream.send(ok())
  t.equal((await readAnswer(client)).status, 200)
})

await proxyTest('connection of an answer takes nothing away that frames it', async (t, lab) => {
  const { answer, client } = await exchange(lab, get(), {
    answer: ok(
      'abc',
      'connection: content-length, transfer-encoding, x-request-id, x-own\r\nx-own: 1\r\n',
    ),
  })
  t.same(fieldsOf(answer, 'content-length'), ['3'])
  t.same(fieldsOf(answer, 'x-request-id').length, 1)
  absent(t, answer, ['x-own', 'connection'])
  t.equal(await client.readBytes(3), 'abc')
})

await proxyTest('te: trailers is passed on as an option of the next hop', async (t, lab) => {
  const { request } = await exchange(
    lab,
    get('/', 'connection: te\r\nte: gzip;q=0.5, trailers\r\n'),
  )
  t.same(fieldsOf(request, 'te'), ['trailers'])
  t.same(fieldsOf(request, 'connection'), ['te'])
})

await proxyTest('what a client says about identity and origin is replaced', async (t, lab) => {
  const { request } = await exchange(
    lab,
    get(
      '/',
      [
        'x-amt-tenant: globex',
        'X-AMT-Role: admin',
        'x_amt_tenant: globex',
        'x-forwarded-for: 1.2.3.4',
        'x-forwarded-proto: https',
        'x-forwarded-host: evil.test',
        'x-forwarded-port: 1',
        'x-forwarded-client-cert: By=evil',
        'forwarded: for=1.2.3.4',
        '',
      ].join('\r\n'),
    ),
  )
  t.same(fieldsOf(request, 'x-amt-tenant'), ['acme'])
  t.same(fieldsOf(request, 'x-forwarded-for'), ['127.0.0.1'])
  t.same(fieldsOf(request, 'x-forwarded-proto'), ['http'])
  t.same(fieldsOf(request, 'x-forwarded-host'), ['acme.test'])
  t.same(fieldsOf(request, 'forwarded'), ['for=127.0.0.1;host="acme.test";proto=http'])
  t.match(fieldsOf(request, 'via').join(), OUR_VIA)
  absent(t, request, ['x-amt-role', 'x_amt_tenant', 'x-forwarded-port', 'x-forwarded-client-cert'])
  t.notMatch(request, 'evil')
})

await proxyTest('via of former hops stays, and ours comes behind it', async (t, lab) => {
  const { request } = await exchange(lab, get('/', 'via: 1.0 fred\r\n'))
  const [former, ours, ...more] = fieldsOf(request, 'via')
  t.equal(former, '1.0 fred')
  t.match(ours, OUR_VIA)
  t.same(more, [])
})

await proxyTest(
  'a trusted proxy is believed about the origin, and about nothing else',
  async (t, lab) => {
    const { request } = await exchange(
      lab,
      get(
        '/',
        'x-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: https\r\nx-forwarded-host: www.test\r\nx-forwarded-port: 1\r\nforwarded: for=1.2.3.4\r\nx-amt-tenant: globex\r\nx-forwarded-client-cert: By=evil\r\n',
      ),
      { trustedProxies: ['127.0.0.0/8'] },
    )
    t.same(fieldsOf(request, 'x-forwarded-for'), ['1.2.3.4, 127.0.0.1'])
    t.same(fieldsOf(request, 'x-forwarded-proto'), ['https'])
    t.same(fieldsOf(request, 'x-forwarded-host'), ['www.test'])
    t.same(fieldsOf(request, 'x-forwarded-port'), ['1'])
    t.match(fieldsOf(request, 'forwarded')[0], /^for=1\.2\.3\.4, for=127\.0\.0\.1;/)
    t.same(fieldsOf(request, 'x-amt-tenant'), ['acme'])
    absent(t, request, ['x-forwarded-client-cert'])
  },
)

await proxyTest(
  'what a trusted proxy said of one call does not stick to the next',
  async (t, lab) => {
    const { upstream, client } = await exchange(lab, get('/', 'x-forwarded-for: 1.2.3.4\r\n'), {
      trustedProxies: ['127.0.0.1'],
    })
    await client.readBytes(2)
    await client.send(get())
    t.same(fieldsOf(await upstream.readHead(), 'x-forwarded-for'), ['127.0.0.1'])
  },
)

await proxyTest(
  'a request id is kept if it is sane, and both sides get the same one',
  async (t, lab) => {
    const kept = await exchange(lab, get('/', 'x-request-id: abc-123\r\n'), {
      answer: ok('', 'x-request-id: of-the-deployment\r\n'),
    })
    t.same(fieldsOf(kept.request, 'x-request-id'), ['abc-123'])
    t.same(fieldsOf(kept.answer, 'x-request-id'), ['abc-123'])
    for (const lines of ['', 'x-request-id: a b\r\n', `x-request-id: ${'x'.repeat(129)}\r\n`]) {
      const made = await exchange(lab, get('/', lines))
      const [id] = fieldsOf(made.request, 'x-request-id')
      t.match(id, /^[A-Za-z0-9_-]{12,40}$/)
      t.same(fieldsOf(made.answer, 'x-request-id'), [id])
    }
  },
)

await proxyTest('credentials that were for the proxy end there', async (t, lab) => {
  const key = keyOf('acme')
  for (const line of [`x-api-key: ${key}`, `X-Api-Key: ${key}`, `authorization: ApiKey ${key}`]) {
    const { request } = await exchange(lab, get('/', `${line}\r\n`))
    t.notMatch(request, key)
    absent(t, request, ['x-api-key', 'authorization'])
  }
})

await proxyTest('credentials go on where the configuration says so', async (t, lab) => {
  const key = keyOf('acme')
  const { request } = await exchange(lab, get('/', `x-api-key: ${key}\r\n`), {
    authentication: { forwardCredentials: true },
  })
  t.same(fieldsOf(request, 'x-api-key'), [key])
})

await proxyTest("an authorization that is the application's own goes on", async (t, lab) => {
  for (const value of ['Basic dXNlcjpwYXNz', 'Bearer opaque-token-of-the-application']) {
    const { request } = await exchange(lab, get('/', `authorization: ${value}\r\n`))
    t.same(fieldsOf(request, 'authorization'), [value])
  }
})

await proxyTest(
  'a key in the query counts where its parameter is named, and is cut out',
  async (t, lab) => {
    const key = keyOf('acme')
    const authentication = { apiKey: { query: 'key' } }
    const target = `/a?x=%41&key=${key}&y=2`
    const line = `GET ${target} HTTP/1.1\r\nhost: other.test\r\n\r\n`
    const { request, upstream } = await exchange(lab, line, { authentication })
    t.match(request, 'GET /a?x=%41&y=2 HTTP/1.1\r\n')
    t.notMatch(request, key)
    t.ok(upstream)
  },
)

await proxyTest(
  'a key in the query is nothing special where no parameter is named',
  async (t, lab) => {
    const { request } = await exchange(lab, get(`/a?key=${keyOf('acme')}`))
    t.match(request, `GET /a?key=${keyOf('acme')} HTTP/1.1\r\n`)
  },
)

await proxyTest('two keys in one call are refused, whoever they belong to', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({
    tenants: [tenant('acme', deployment), tenant('globex', deployment)],
    authentication: { apiKey: { query: 'key' } },
  })
  for (const request of [
    get('/', `x-api-key: ${keyOf('acme')}\r\nx-api-key: ${keyOf('acme')}\r\n`),
    get(`/?key=${keyOf('acme')}&key=${keyOf('globex')}`),
    get(`/?key=${keyOf('acme')}`, `x-api-key: ${keyOf('acme')}\r\n`),
  ]) {
    const client = await lab.client(proxy)
    await client.send(request)
    const { status, body } = await readAnswer(client)
    t.equal(status, 400)
    t.equal(codeOf(body), 'credential_ambiguous')
  }
  t.equal(deployment.peers.length, 0)
})

await proxyTest('an absolute target becomes a path and its host the Host', async (t, lab) => {
  const { request } = await exchange(
    lab,
    'GET http://acme.test/x?y HTTP/1.1\r\nhost: acme.test\r\n\r\n',
  )
  t.match(request, 'GET /x?y HTTP/1.1\r\nhost: acme.test\r\n')
})

await proxyTest('all other fields arrive in their order, byte for byte', async (t, lab) => {
  const { request } = await exchange(
    lab,
    get('/', 'Accept: */*\r\nX-Odd: \xe9 \t"q"\r\ncookie: a=1\r\ntraceparent: 00-4b-00-01\r\n'),
  )
  t.match(
    request,
    'Accept: */*\r\nX-Odd: \xe9 \t"q"\r\ncookie: a=1\r\ntraceparent: 00-4b-00-01\r\n',
  )
})
