/**
 * What a client learns that has not said who it is: that it was refused, and why in one sentence. Nothing of what stands
 * behind the proxy, of what the proxy is, or of who its tenants are.
 */
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import type { Fields } from '../support/http2/frame-stream.ts'
import { http2Test, outcomeOf, request } from '../support/http2/http2-lab.ts'
import type { Peer } from '../support/peer.ts'
import {
  fieldsOf,
  get,
  keyOf,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

/** What an answer of our own may have. No `server`, `server-timing`, `x-powered-by`, `via`. */
const OUR_FIELDS = new Set([
  'allow',
  'cache-control',
  'connection',
  'content-length',
  'content-type',
  'retry-after',
  'www-authenticate',
  'x-request-id',
])
const { version } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { version: string }

const call = (line: string, ...fields: string[]): string =>
  `${[line, ...fields].join('\r\n')}\r\n\r\n`
const at = (host: string, ...fields: string[]): string =>
  call('GET / HTTP/1.1', `host: ${host}`, ...fields)
const bearer = (claims: Record<string, unknown>): string => {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `authorization: Bearer ${part({ alg: 'RS256', kid: 'k' })}.${part(claims)}.${'A'.repeat(342)}`
}
const token = (tenantId: string): string =>
  bearer({ iss: 'https://issuer.internal', aud: 'hush-service', tenant: tenantId, exp: 4e9 })

/** Every way to be refused by the proxy without being anybody. */
const REFUSALS: Record<string, string> = {
  'no credential': at('nobody.test'),
  'a name like that of a tenant': at('hush-tenant'),
  'a foreign token': at('a', 'authorization: Bearer abc'),
  'a foreign scheme': at('a', 'authorization: Basic eDp5'),
  'a key of nobody': at('a', `x-api-key: ${keyOf('stranger')}`),
  'two keys': at('a', `x-api-key: ${keyOf('stranger')}`, `x-api-key: ${keyOf('other')}`),
  'a token that nobody signed': at('a', token('hush-tenant')),
  'OPTIONS without a hop left': call('OPTIONS * HTTP/1.1', 'host: a', 'max-forwards: 0'),
  'TRACE without a hop left': call('TRACE / HTTP/1.1', 'host: a', 'max-forwards: 0', 'x-seen: no'),
  CONNECT: call('CONNECT a:443 HTTP/1.1', 'host: a:443'),
  'an upgrade': at('a', 'connection: upgrade', 'upgrade: websocket'),
  'a body': `${call('POST / HTTP/1.1', 'host: a', 'content-length: 3')}abc`,
  'an unknown method': call('BREW / HTTP/1.1', 'host: a'),
  'a bad request line': 'GET / HTTP/1.1 x\r\n\r\n',
  'a bad target': call('GET /\x7f HTTP/1.1', 'host: a'),
  'a bad field': at('a', 'x : y'),
  'a bad length': at('a', 'content-length: +1'),
  'two lengths': at('a', 'content-length: 1', 'content-length: 2'),
  'another coding': at('a', 'transfer-encoding: gzip, chunked'),
  'no host': call('GET / HTTP/1.1'),
  'another version': call('GET / HTTP/1.7', 'host: a'),
  'almost HTTP/2': 'PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'another expectation': at('a', 'expect: a miracle'),
  'a long target': at('a').replace('/', `/${'a'.repeat(9_000)}`),
  'a large head': at('a', `b: ${'c'.repeat(40_000)}`),
  'many fields': at('a', ...Array.from({ length: 101 }, () => 'b: c')),
  'hops that are no number': call('OPTIONS / HTTP/1.1', 'host: a', 'max-forwards: x'),
  'a path in two readings': call('GET /a%2f..%2fb HTTP/1.1', 'host: a'),
}

async function hiding(t: Test, lab: ProxyLab): Promise<{ proxy: RunningProxy; secrets: string[] }> {
  const deployment = await lab.deployment()
  const folder = t.testdir({ 'hush-keys.json': '{"keys":[]}' })
  const proxy = await lab.proxy({
    service: { name: 'hush-service' },
    listeners: [
      { name: 'hush-listener', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' },
    ],
    http1: { path: 'normalize' },
    authentication: {
      jwt: [
        {
          issuer: 'https://issuer.internal',
          audiences: ['hush-service'],
          jwks: `${folder}/hush-keys.json`,
        },
      ],
    },
    tenants: [tenant('hush-tenant', deployment, { hosts: [], connect: true })],
  })
  const secrets = [
    'hush',
    'internal',
    '127.0.0.1',
    String(deployment.port),
    folder,
    version,
    'node',
  ]
  return { proxy, secrets }
}

/** The one answer of the proxy, and the end of it where it closes. */
async function refusal(client: Peer, request: string): Promise<{ head: string; body: string }> {
  await client.send(request)
  const answer = await readAnswer(client)
  client.end()
  return { head: answer.head, body: answer.body + (await client.readToEnd()) }
}

await proxyTest('a refused stranger learns nothing of what stands behind', async (t, lab) => {
  const { proxy, secrets } = await hiding(t, lab)
  for (const [name, request] of Object.entries(REFUSALS)) {
    const { head, body } = await refusal(await lab.client(proxy, 'hush-listener'), request)
    t.match(head, /^HTTP\/1\.1 [45]\d\d /, `${name}: refused`)
    const names = head
      .split('\r\n')
      .slice(1)
      .filter(line => line !== '')
      .map(line => line.slice(0, line.indexOf(':')))
    t.same(
      names.filter(field => !OUR_FIELDS.has(field)),
      [],
      `${name}: fields`,
    )
    t.same(Object.keys(JSON.parse(body) as object), ['type', 'title', 'status'], `${name}: body`)
    t.same(fieldsOf(head, 'content-type'), ['application/problem+json'])
    // An id of our own is random, and could hold anything by chance.
    const said = (head.replace(/x-request-id: .*/, '') + body).toLowerCase()
    t.same(
      secrets.filter(secret => said.includes(secret)),
      [],
      `${name}: secrets`,
    )
  }
})

await http2Test('a refused stranger learns no more over HTTP/2', async (t, lab, http2) => {
  const { proxy, secrets } = await hiding(t, lab)
  const client = await http2.client(proxy, undefined, 'hush-listener')
  const credentials: Fields[] = [
    [],
    [['x-api-key', keyOf('stranger')]],
    [['authorization', token('hush-tenant').slice('authorization: '.length)]],
  ]
  for (const more of credentials) {
    const stream = request(client, { authority: 'hush-tenant', more })
    const told = await outcomeOf(stream)
    t.match(told, /^401 /)
    const fields = stream.sections.flat()
    const names = fields.map(([name]) => name).filter(name => name !== ':status')
    t.same(
      names.filter(name => !OUR_FIELDS.has(name)),
      [],
    )
    const values = fields.filter(([name]) => name !== 'x-request-id').flat()
    const said = (values.join(' ') + told).toLowerCase()
    t.same(
      secrets.filter(secret => said.includes(secret)),
      [],
    )
  }
})

await proxyTest('a stranger cannot find out which tenants there are', async (t, lab) => {
  const { proxy } = await hiding(t, lab)
  const asked = async (request: string): Promise<string> => {
    const { head, body } = await refusal(await lab.client(proxy, 'hush-listener'), request)
    return head.replace(/x-request-id: .*\r\n/, '') + body
  }
  // The same key with another digit has the right form and tenant, and is not the one.
  const almost = (id: string): string => `x-api-key: ${keyOf(`${id}x`).replace(`${id}x`, id)}`
  const pairs: Record<string, (id: string) => string> = {
    'host names': id => at(`${id}.test`),
    'bare host names': id => at(id),
    'absolute targets': id => call(`GET http://${id}.test/ HTTP/1.1`, `host: ${id}.test`),
    'API keys': id => at('a', almost(id)),
    'keys in Authorization': id => at('a', `authorization: ApiKey ${keyOf(`${id}x`)}`),
    tokens: id => at('a', token(id)),
    'claims of identity': id => at('a', `x-amt-tenant: ${id}`),
    tunnels: id => call(`CONNECT ${id}.test:443 HTTP/1.1`, `host: ${id}.test:443`),
    'hops of OPTIONS': id => call('OPTIONS / HTTP/1.1', `host: ${id}.test`, 'max-forwards: 0'),
  }
  for (const [name, request] of Object.entries(pairs))
    t.equal(await asked(request('hush-tenant')), await asked(request('no-such-one')), name)
})

await proxyTest('what an application says of itself is its own, and passes', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.forOne(deployment)
  const client = await lab.client(proxy)
  await client.send(get())
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.send(ok('x', 'server: app/1\r\nx-powered-by: y\r\nserver-timing: db;dur=1\r\n'))
  const { head } = await readAnswer(client)
  t.same(fieldsOf(head, 'server'), ['app/1'])
  t.same(fieldsOf(head, 'x-powered-by'), ['y'])
  t.same(fieldsOf(head, 'server-timing'), ['db;dur=1'])
  t.same(fieldsOf(head, 'via'), [])
})
