/** Bad tokens from one address, through a whole proxy: what becomes of it, of its known tokens, and of others. */
import type { Test } from 'tap'
import { DEFAULT_JWT_OPTIONS } from '../../src/proxy/credential/jwt-options.ts'
import { answering } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  fieldsOf,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'
import { ec, evil, ISSUER, token } from '../support/token-attacks/parties.ts'

const PLACES = DEFAULT_JWT_OPTIONS.underWay.source
const FLOOD = PLACES + 400

async function world(
  t: Test,
  lab: ProxyLab,
  more: Record<string, unknown> = {},
): Promise<RunningProxy> {
  const folder = t.testdir({ 'jwks.json': JSON.stringify({ keys: [ec.jwk] }) })
  const deployment = await lab.deployment({ serve: answering(ok('acme')) })
  return lab.proxy({
    authentication: {
      jwt: [{ issuer: ISSUER, audiences: ['orders'], jwks: `${folder}/jwks.json` }],
    },
    tenants: [tenant('acme', deployment)],
    ...more,
  })
}

async function call(client: Peer, text: string): Promise<string> {
  await client.send(`GET / HTTP/1.1\r\nhost: nobody.test\r\nauthorization: Bearer ${text}\r\n\r\n`)
  const { status, head, body } = await readAnswer(client)
  if (status === 503 && fieldsOf(head, 'retry-after').length !== 1) return '503 without retry-after'
  return status === 200 ? body : `${status} ${codeOf(body)}`
}

/** How often each answer came to so many bad tokens. */
async function flood(client: Peer): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (let i = 0; i < FLOOD; i += 1) {
    const answer = await call(client, token({ key: evil, claims: { jti: `bad-${i}` } }))
    counts[answer] = (counts[answer] ?? 0) + 1
  }
  return counts
}

const fresh = (jti: string): string => token({ claims: { jti } })

await proxyTest(
  'a flood of bad tokens from one address is answered 503, others are served',
  async (t, lab) => {
    const proxy = await world(t, lab, { sources: { badCredentials: 'off' } })
    const bad = await lab.clientFrom(proxy, '127.0.0.3')
    const known = fresh('known')
    t.equal(await call(bad, known), 'acme')
    const counts = await flood(bad)
    const checked = counts['401 credential_invalid'] ?? 0
    const unchecked = counts['503 source_credentials'] ?? 0
    t.equal(checked + unchecked, FLOOD, 'one or the other')
    t.ok(checked >= PLACES, `${checked} were checked`)
    t.ok(unchecked > 0, `${unchecked} were not`)
    t.equal(await call(bad, known), 'acme', 'a known token of the same address')
    const good = await lab.clientFrom(proxy, '127.0.0.2')
    t.equal(await call(good, fresh('new')), 'acme', 'a new one of another')
    proxy.worker.reportNow()
    const reported = proxy
      .reports()
      .reduce((sum, { tokenIssuers }) => sum + tokenIssuers.unchecked.source, 0)
    t.equal(reported, unchecked, 'and the counter says so')
  },
)

await proxyTest(
  'bad tokens that are not checked count as well: their connection waits for a second, known tokens go on',
  async (t, lab) => {
    const proxy = await world(t, lab)
    const known = fresh('known')
    const good = await lab.clientFrom(proxy, '127.0.0.3')
    t.equal(await call(good, known), 'acme')
    const bad = await lab.clientFrom(proxy, '127.0.0.3')
    let calls = 0
    // By the clock: it is all that shows, since the code of those that are not checked is the same.
    for (let waited = false; !waited && calls < FLOOD; calls += 1) {
      const text = token({ key: evil, claims: { jti: `bad-${calls}` } })
      const begun = performance.now()
      await bad.send(`GET / HTTP/1.1\r\nhost: x.test\r\nauthorization: Bearer ${text}\r\n\r\n`)
      const { status } = await readAnswer(bad)
      waited = performance.now() - begun > 800
      if (status !== 401 && status !== 503) t.fail(`answered ${status}`)
    }
    t.ok(calls > PLACES && calls < FLOOD, `${calls} calls`)
    t.ok(proxy.rejected('source_credentials') > 0)
    t.equal(await call(good, known), 'acme', 'on another connection of the same address')
  },
)

await proxyTest('a trusted proxy speaks for many, and is no source', async (t, lab) => {
  const proxy = await world(t, lab, { trustedProxies: ['127.0.0.4'] })
  const counts = await flood(await lab.clientFrom(proxy, '127.0.0.4'))
  t.same(counts, { '401 credential_invalid': FLOOD })
})
