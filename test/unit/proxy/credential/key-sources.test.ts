import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { DEFAULT_JWT_OPTIONS } from '../../../../src/proxy/credential/jwt-options.ts'
import type { KeySet } from '../../../../src/proxy/credential/key-set.ts'
import type { KeySource } from '../../../../src/proxy/credential/key-source.ts'
import { KeySources } from '../../../../src/proxy/credential/key-sources.ts'
import { JwksServer, NOW, RecordingLog, signingKey } from '../../../support/token-issuer.ts'

const OPTIONS = { refreshIntervalMs: 30_000, retryMs: 5_000, fetchTimeoutMs: 2_000 }
const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const key = signingKey('k1')
const second = signingKey('k2')

/** A source with connections of its own. */
function createSource(t: Test, location: string, log: RecordingLog, options = OPTIONS): KeySource {
  const sources = new KeySources(log, options, DEFAULT_JWT_OPTIONS.fetches)
  const source = sources.create(location, DAY)
  t.teardown(async () => {
    source.close()
    await sources.close()
  })
  return source
}

async function overHttp(t: Test) {
  const server = await new JwksServer(key).listen()
  const log = new RecordingLog()
  const source = createSource(t, server.url, log)
  t.teardown(async () => {
    source.close()
    await server.close()
  })
  return { server, log, source }
}

function kids(keys: KeySet | undefined): string {
  return ['k1', 'k2'].filter(kid => keys?.candidates(kid).length === 1).join(' ')
}

await test('fetches once for all who wait, and then answers at once', async t => {
  const { server, source } = await overHttp(t)
  t.equal(source.current(NOW), undefined, 'nothing there yet')
  const all = await Promise.all([source.load(NOW), source.load(NOW), source.load(NOW)])
  t.same(all.map(kids), ['k1', 'k1', 'k1'])
  t.equal(source.current(NOW), all[0])
  t.equal(server.requests, 1)
})

await test('keeps keys for as long as Cache-Control says, within a minute and an hour', async t => {
  const cases: readonly (readonly [cacheControl: string, minutes: number])[] = [
    ['', 10],
    ['public', 10],
    ['max-age=300', 5],
    ['public, MAX-AGE="300"', 5],
    ['max-age=0', 1],
    ['no-store', 1],
    ['max-age=31536000', 60],
    ['s-maxage=1800', 10],
    ['max-age=x', 10],
  ]
  for (const [cacheControl, minutes] of cases) {
    const { server, source } = await overHttp(t)
    if (cacheControl !== '') server.headers = { 'cache-control': cacheControl }
    await source.load(NOW)
    await source.refresh(NOW) // From now on it only joins a fetch that is under way.
    source.current(NOW + minutes * MINUTE - 1)
    await source.refresh(NOW)
    t.equal(server.requests, 2, `${cacheControl}: fresh until then`)
    t.ok(source.current(NOW + minutes * MINUTE + 1), 'stale, but of use')
    await source.refresh(NOW)
    t.equal(server.requests, 3, `${cacheControl}: fetched after that`)
  }
})

await test('serves stale keys while newer ones are on their way, but not after long silence', async t => {
  const { server, source } = await overHttp(t)
  await source.load(NOW)
  server.keys = [second.jwk]
  t.equal(kids(source.current(NOW + 11 * MINUTE)), 'k1')
  t.equal(kids(await source.load(NOW + 11 * MINUTE)), 'k2')
  server.keys = [key.jwk]
  t.equal(source.current(NOW + 60 * MINUTE), undefined, 'to be waited for')
  t.equal(kids(await source.load(NOW + 60 * MINUTE)), 'k1')
})

await test('serves stale keys while the issuer is down, and asks it again now and then', async t => {
  const { server, log, source } = await overHttp(t)
  await source.load(NOW)
  const { port } = server
  await server.close()
  const later = NOW + 60 * MINUTE
  t.equal(kids(await source.load(later)), 'k1')
  t.equal(kids(source.current(later + 1)), 'k1', 'without waiting')
  t.equal(log.reasons.length, 1)
  await source.load(later + 2)
  t.equal(log.reasons.length, 1, 'said once a minute')
  const again = await new JwksServer(second).listen(port)
  t.teardown(() => again.close())
  await source.load(later + 4_999)
  t.equal(again.requests, 0, 'not asked within the retry time')
  t.equal(kids(await source.load(later + 5_000)), 'k2')
})

await test('serves stale keys for so long while the issuer is down, and no longer', async t => {
  const { server, source } = await overHttp(t)
  await source.load(NOW)
  server.answer = response => response.writeHead(503).end()
  const stale = NOW + 10 * MINUTE
  t.equal(kids(await source.load(stale + DAY - 1)), 'k1')
  t.equal(kids(source.current(stale + DAY - 1)), 'k1')
  t.equal(source.current(stale + DAY), undefined)
  t.equal(await source.load(stale + DAY + MINUTE), undefined)
  server.answer = response => response.end(JSON.stringify({ keys: [second.jwk] }))
  t.equal(kids(await source.load(stale + DAY + 2 * MINUTE)), 'k2')
})

await test('keys of a clock that is set back are fetched anew', async t => {
  const { server, source } = await overHttp(t)
  await source.load(NOW)
  server.keys = [second.jwk]
  t.equal(kids(await source.load(NOW - 60 * MINUTE)), 'k2')
  t.equal(kids(source.current(NOW - 59 * MINUTE)), 'k2')
  t.equal(server.requests, 2)
})

await test('an issuer that was never reached has no keys, and is not asked with every call', async t => {
  const { server, source } = await overHttp(t)
  server.answer = response => {
    response.writeHead(500).end('no')
  }
  t.equal(await source.load(NOW), undefined)
  t.equal(await source.load(NOW + 1), undefined)
  t.equal(await source.load(NOW + 4_999), undefined)
  t.equal(server.requests, 1)
  t.equal(await source.load(NOW + 5_000), undefined)
  t.equal(server.requests, 2)
})

await test('takes nothing but a key set of reasonable size from the place it was told', async t => {
  const elsewhere = await new JwksServer(second).listen()
  t.teardown(() => elsewhere.close())
  const { server, log, source } = await overHttp(t)
  const good = server.answer
  await source.load(NOW)
  const answers: readonly (readonly [string, JwksServer['answer']])[] = [
    ['a redirect', response => response.writeHead(302, { location: elsewhere.url }).end()],
    ['an error', response => response.writeHead(404).end('{"keys":[]}')],
    ['no JSON', response => response.end('<html>')],
    ['no key set', response => response.end('{"keys":{}}')],
    ['null', response => response.end('null')],
    ['too many keys', response => response.end(`{"keys":[${'{},'.repeat(1_000)}{}]}`)],
    ['too much', response => response.end(`{"keys":[],"x":"${'x'.repeat(1 << 20)}"}`)],
    [
      'half an answer',
      response =>
        response.writeHead(200, { 'content-length': 9 }).write('{"k', () => response.destroy()),
    ],
  ]
  let now = NOW
  for (const [name, answer] of answers) {
    now += 60 * MINUTE
    server.answer = answer
    const before = server.requests
    t.equal(kids(await source.load(now)), 'k1', name)
    t.equal(server.requests, before + 1, name)
  }
  t.equal(elsewhere.requests, 0)
  t.equal(log.reasons.length, answers.length)
  server.answer = good
  t.equal(kids(await source.load(now + 60 * MINUTE)), 'k1')
})

await test('gives up on an issuer that does not finish', async t => {
  const server = await new JwksServer(key).listen()
  const log = new RecordingLog()
  const source = createSource(t, server.url, log, { ...OPTIONS, fetchTimeoutMs: 50 })
  t.teardown(async () => {
    source.close()
    await server.close()
  })
  server.answer = response => {
    response.writeHead(200).write('{"keys":')
  }
  t.equal(await source.load(NOW), undefined)
  t.equal(log.reasons.length, 1)
})

await test('closing ends a fetch that is under way, and nothing is fetched after it', async t => {
  const { server, source, log } = await overHttp(t)
  const asked = new Promise<void>(resolve => {
    server.answer = () => resolve()
  })
  const loading = source.load(NOW)
  await asked
  source.close()
  t.equal(await loading, undefined)
  t.equal(await source.load(NOW + MINUTE), undefined)
  t.equal(server.requests, 1)
  t.same(log.reasons, [], 'nothing went wrong')
})

await test('leaves out keys that must not verify anything', async t => {
  const { server, source } = await overHttp(t)
  const secret = Buffer.alloc(32).toString('base64url')
  server.keys = [
    { kty: 'oct', k: secret, kid: 'k1', alg: 'HS256' },
    { ...second.jwk, d: second.privateKey.export({ format: 'jwk' }).d ?? '' },
    { kty: 'AKP', kid: 'k3' },
    null as never,
    [] as never,
    key.jwk,
  ]
  const keys = await source.load(NOW)
  t.equal(keys?.size, 1)
  t.equal(kids(keys), 'k1')
})

await test('tries a token without kid against a handful of keys only', async t => {
  const { server, source } = await overHttp(t)
  server.keys = Array.from({ length: 50 }, (_, i) => ({ ...key.jwk, kid: `k${i}` }))
  const keys = await source.load(NOW)
  t.equal(keys?.candidates(undefined).length, 8)
  t.equal(keys?.candidates('k49').length, 1)
  t.equal(keys?.candidates('k50').length, 0)
})

await test('the same keys stay the same objects, so that tokens stay verified', async t => {
  const { server, source } = await overHttp(t)
  const first = await source.load(NOW)
  const again = await source.load(NOW + 60 * MINUTE)
  t.equal(again, first, 'the same text is the same key set')
  server.keys = [second.jwk, key.jwk]
  const grown = await source.load(NOW + 120 * MINUTE)
  t.not(grown, first)
  t.equal(grown?.candidates('k1')[0], first?.candidates('k1')[0])
  server.keys = [{ ...second.jwk, kid: 'k1' }]
  const replaced = await source.load(NOW + 180 * MINUTE)
  t.not(replaced?.candidates('k1')[0], first?.candidates('k1')[0], 'another key with the same kid')
})

function inFile(t: Test, text?: string) {
  const folder = mkdtempSync(join(tmpdir(), 'amt-jwks-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'jwks.json')
  if (text !== undefined) writeFileSync(path, text)
  const log = new RecordingLog()
  return { path, log, source: createSource(t, path, log) }
}

await test('reads a file at once, and again when it has changed', async t => {
  const { path, source } = inFile(t, JSON.stringify({ keys: [key.jwk] }))
  t.equal(kids(source.current(NOW)), 'k1')
  writeFileSync(`${path}.new`, JSON.stringify({ keys: [second.jwk] }))
  renameSync(`${path}.new`, path)
  t.equal(kids(source.current(NOW + 999)), 'k1', 'looks once a second')
  t.equal(kids(source.current(NOW + 1_000)), 'k2')
  t.equal(kids(await source.refresh(NOW + 1_000)), 'k2')
  source.close()
})

await test('keeps its keys while the file is bad or gone, and says so', async t => {
  const { path, log, source } = inFile(t, JSON.stringify({ keys: [key.jwk] }))
  source.current(NOW)
  writeFileSync(path, '{"keys": [')
  t.equal(kids(source.current(NOW + 60_000)), 'k1')
  writeFileSync(path, ' '.repeat((1 << 20) + 1))
  t.equal(kids(source.current(NOW + 120_000)), 'k1')
  rmSync(path)
  t.equal(kids(source.current(NOW + 180_000)), 'k1')
  t.equal(log.reasons.length, 3)
  writeFileSync(path, JSON.stringify({ keys: [second.jwk] }))
  t.equal(kids(source.current(NOW + 181_000)), 'k2')
})

await test('finds a file that comes later', async t => {
  const { path, source } = inFile(t)
  t.equal(await source.load(NOW), undefined)
  writeFileSync(path, JSON.stringify({ keys: [key.jwk] }))
  t.equal(kids(await source.load(NOW + 1_000)), 'k1')
})
