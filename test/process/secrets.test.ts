/**
 * No key and no token in anything that a proxy puts out: `amt proxy` with the most talkative log gets them in every place
 * where a client may put one, and then all its output is searched, in several encodings.
 */
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { exportJWK, SignJWT } from 'jose'
import { t, test } from 'tap'
import { newApiKey } from '../../src/cli/commands/key.ts'
import type { BoundAddress } from '../../src/proxy/ipc.ts'
import { connectPeer } from '../support/peer.ts'
import { FIT_FOR_TESTS, launchPart, readUntil, readyLine } from '../support/running-amt.ts'

t.setTimeout(120_000)

const ISSUER = 'https://issuer.test'
const digestOf = (key: string): string => `sha256:${createHash('sha256').update(key).digest('hex')}`
const other = (text: string, at: number): string =>
  text.slice(0, at) + (text.at(at) === 'x' ? 'y' : 'x') + text.slice(at + 1)
const encoded = (text: string): string =>
  Array.from(text, each => `%${each.charCodeAt(0).toString(16).padStart(2, '0')}`).join('')

/** All that is secret here, by what it is. */
async function makeSecrets() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const sign = async (expires: string): Promise<string> =>
    new SignJWT({ tenant: 'acme', jti: randomBytes(16).toString('hex') })
      .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
      .setIssuer(ISSUER)
      .setAudience('orders')
      .setIssuedAt()
      .setExpirationTime(expires)
      .sign(privateKey)
  const good = newApiKey('acme').key
  const token = await sign('1h')
  return {
    jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }] },
    secrets: {
      good,
      expired: newApiKey('acme').key,
      unknown: newApiKey('acme').key,
      mistyped: other(newApiKey('acme').key, 30),
      cut: newApiKey('acme').key.slice(0, -3),
      oversize: `amt_acme_${randomBytes(3_000).toString('hex')}`,
      foreign: `sk-live-${randomBytes(24).toString('hex')}`,
      foreignUnknown: `sk-live-${randomBytes(24).toString('hex')}`,
      token,
      tokenExpired: await sign('-1h'),
      tokenForged: other(await sign('1h'), token.length - 20),
      tokenOversize: `${await sign('1h')}${randomBytes(12_000).toString('hex')}`,
    },
  }
}

type Secrets = Awaited<ReturnType<typeof makeSecrets>>['secrets']

/** Requests, each on a connection of its own, with a secret in every place. */
function* requests(secrets: Secrets): Generator<string> {
  const head = (line: string, ...fields: string[]): string =>
    `${[line, 'host: orders.test', ...fields].join('\r\n')}\r\n\r\n`
  const { good, token } = secrets
  for (const secret of Object.values(secrets)) {
    yield head('GET / HTTP/1.1', `x-api-key: ${secret}`)
    yield head('GET / HTTP/1.1', `authorization: ApiKey ${secret}`)
    yield head('GET / HTTP/1.1', `authorization: Bearer ${secret}`)
    yield head(
      'GET / HTTP/1.1',
      `authorization: Basic ${Buffer.from(`a:${secret}`).toString('base64')}`,
    )
    yield head(`GET /?api_key=${secret} HTTP/1.1`)
    yield head(`GET /?api_key=${encoded(secret)}&api_key=${secret} HTTP/1.1`)
    yield head(`GET /?api_key=${encoded(secret)}%zz HTTP/1.1`)
    yield head(`GET /?not_named=${secret} HTTP/1.1`, `x-api-key: ${good}`)
    yield head(
      'GET / HTTP/1.1',
      `referer: http://orders.test/?api_key=${secret}`,
      `x-api-key: ${good}`,
    )
    yield head('GET / HTTP/1.1', `cookie: session=${secret}`, `x-api-key: ${good}`)
    yield head('GET / HTTP/1.1', `x-api-key: ${secret}`, `x-api-key: ${secret}`)
    yield head('GET / HTTP/1.1', `x-api-key: ${good}`, `authorization: Bearer ${secret}`)
    yield head(
      'GET / HTTP/1.1',
      `forwarded: for=${secret}`,
      `x-forwarded-for: ${secret}`,
      `x-api-key: ${good}`,
    )
    yield head('GET / HTTP/1.1', `connection: upgrade`, `upgrade: ${secret}`, `x-api-key: ${good}`)
    yield head('GET / HTTP/1.1', `x-api-key : ${secret}`)
    yield head('GET / HTTP/1.1', `expect: ${secret}`, `x-api-key: ${good}`)
    yield head('GET / HTTP/1.1', `transfer-encoding: ${secret}`, `x-api-key: ${good}`)
    yield head('GET / HTTP/1.1', `${secret}: x`, `x-api-key: ${good}`)
    yield `GET / HTTP/1.1\r\nhost: ${secret}\r\n\r\n`
    yield head(`GET / ${secret}`)
    yield head(`CONNECT ${secret}:443 HTTP/1.1`, `x-api-key: ${good}`)
    yield head(`GET http://${secret}@orders.test/ HTTP/1.1`, `x-api-key: ${good}`)
    yield head('POST / HTTP/1.1', `content-length: ${secret.length}`, `x-api-key: ${good}`) + secret
    yield `${head('POST / HTTP/1.1', 'transfer-encoding: chunked', `x-api-key: ${good}`)}${secret}\r\n`
    yield secret
    yield `\u0016\u0003\u0001${secret}`
  }
  // Those that can be told from other text, in paths and ids that would be logged.
  for (const secret of [good, secrets.expired, secrets.mistyped, secrets.cut, token]) {
    yield head(`GET /keys/${secret}/more HTTP/1.1`, `x-api-key: ${good}`)
    yield head(`${secret} / HTTP/1.1`, `x-api-key: ${good}`)
    yield head(`GET /keys/${encoded(secret)} HTTP/1.1`, `x-api-key: ${good}`)
    yield head('GET / HTTP/1.1', `x-request-id: ${secret}`, `x-api-key: ${good}`)
  }
}

/** A stretch of each secret that nothing else holds, as it may appear: plain, hexadecimal, percent-encoded, in base64. */
function* needles(secrets: Record<string, string>): Generator<[name: string, needle: string]> {
  for (const [name, secret] of Object.entries(secrets)) {
    // The last part is random in keys, and a signature in tokens; the first ones of tokens are alike.
    const body = secret.startsWith('amt_') ? secret.slice(9) : secret
    const parts = name.startsWith('token') ? body.split('.').slice(1) : [body]
    for (const part of parts) {
      const stretch = part.slice(8, 32)
      yield [name, stretch]
      yield [`${name} in hex`, Buffer.from(stretch).toString('hex')]
      yield [`${name} percent-encoded`, encoded(stretch)]
      for (const shift of [0, 1, 2]) {
        const text = Buffer.from(stretch.slice(shift, shift + 18)).toString('base64')
        yield [`${name} in base64`, text.replace(/=+$/, '')]
      }
    }
  }
}

await test('no key and no token is in any output', async t => {
  const { jwks, secrets } = await makeSecrets()
  const mixer = randomBytes(32).toString('hex')
  const server = createServer((_, response) => response.end('ok')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const folder = t.testdir({ 'jwks.json': JSON.stringify(jwks) })
  const deployment = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const proxy = await launchPart(t, 'proxy', folder, {
    ...FIT_FOR_TESTS,
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    authentication: {
      apiKey: { query: 'api_key' },
      jwt: [{ issuer: ISSUER, audiences: ['orders'], jwks: 'jwks.json' }],
    },
    tenants: [
      {
        id: 'acme',
        credentials: [
          { apiKey: digestOf(secrets.good), label: 'ci' },
          { apiKey: digestOf(secrets.expired), expires: '2020-01-01T00:00:00Z' },
          { apiKey: digestOf(secrets.foreign) },
        ],
        deployment: { endpoints: [deployment] },
      },
    ],
    mixer: { token: mixer, journal: 'journal', url: 'http://127.0.0.1:9' },
    log: { level: 'debug', access: 'stdout' },
  })
  const ready = await readyLine(proxy)
  const [bound] = ready.bound as readonly BoundAddress[]
  const port = Number(bound?.address.split(':')[1])
  const statuses: Record<string, number> = {}
  let problems = ''
  for (const text of requests(secrets)) {
    const client = await connectPeer(port)
    await client.send(Buffer.from(text, 'latin1'))
    client.end()
    const answer = await client.readToEnd()
    client.destroy()
    const status = answer.slice(9, 12)
    statuses[status] = (statuses[status] ?? 0) + 1
    problems += answer
  }
  for (const status of ['200', '400', '401']) t.ok((statuses[status] ?? 0) >= 10, status)

  const admin = `http://${String(ready.admin)}`
  const read = async (path: string): Promise<string> => (await fetch(`${admin}${path}`)).text()
  // The reports of the workers, too.
  const shown = await readUntil(
    () => read('/tenants/acme'),
    text => /"label":"ci".*?"lastUsed":"/.test(text),
  )
  t.match(shown, '"label":"ci"')
  // A wrong configuration, whose problems are logged: a key where a digest belongs, and where a label does.
  const settings = JSON.parse(await readFile(join(folder, 'proxy.yaml'), 'utf8')) as {
    tenants: { credentials: object[] }[]
  }
  settings.tenants[0]?.credentials.push(
    { apiKey: secrets.unknown },
    { apiKey: digestOf('x'), label: secrets.unknown },
    { apiKey: digestOf('y'), expires: secrets.unknown },
    secrets.unknown as never,
    { apikey: secrets.unknown },
    { certificate: secrets.unknown },
    { spiffe: secrets.unknown },
  )
  await writeFile(join(folder, 'proxy.yaml'), JSON.stringify(settings))
  const refused = await (await fetch(`${admin}/reload`, { method: 'POST' })).text()
  t.match(refused, 'configuration_refused')
  t.equal(refused.match(/proxy\.yaml:/g)?.length, 7, 'each is a problem')

  const outputs: Record<string, string> = { answers: problems, tenant: shown, reload: refused }
  for (const path of ['/config', '/tenants', '/metrics', '/reconcile', '/readyz'])
    outputs[path] = await read(path)
  t.equal(await proxy.stop(), 0)
  outputs.stdout = proxy.lines.join('\n')
  outputs.stderr = proxy.errors
  t.match(outputs.stdout, '"kind":"call"')
  t.match(outputs.stdout, '/keys/[redacted]')
  for (const name of await readdir(join(folder, 'journal')))
    outputs[`journal ${name}`] = (await readFile(join(folder, 'journal', name))).toString('latin1')

  const all = [...needles({ ...secrets, mixer })]
  t.ok(all.every(([, needle]) => needle.length >= 16))
  for (const [where, text] of Object.entries(outputs)) {
    const found = all.filter(([, needle]) => text.includes(needle)).map(([name]) => name)
    t.same(found, [], where)
  }
})
