/**
 * Attacks on tokens, each by its name, through a whole proxy: a call with such a token is refused, and no byte of it
 * reaches a deployment. The attacks themselves are in `test/support/token-attacks`.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { altered } from '../support/forged-token.ts'
import {
  codeOf,
  keyOf,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'
import { attacksOnClaims } from '../support/token-attacks/on-claims.ts'
import { attacksOnForm } from '../support/token-attacks/on-form.ts'
import { attacksOnSignatures, withOtherS } from '../support/token-attacks/on-signatures.ts'
import {
  ec,
  ed,
  evil,
  ISSUER,
  OTHER,
  OWN,
  ofGlobex,
  ofOther,
  rsa,
  token,
} from '../support/token-attacks/parties.ts'
import type { SigningKey } from '../support/token-issuer.ts'

interface World {
  readonly proxy: RunningProxy
  /** What the deployments of acme and globex were asked. */
  readonly asked: string[]
  readonly lab: ProxyLab
}

async function world(t: Test, lab: ProxyLab): Promise<World> {
  const asked: string[] = []
  const deploymentOf = (id: string) =>
    lab.deployment({
      serve: async peer => {
        try {
          for (;;) {
            await peer.readHead()
            asked.push(id)
            await peer.send(ok(id))
          }
        } catch {
          // The end of the connection.
        }
      },
    })
  const jwks = (key: SigningKey, ...more: SigningKey[]): string =>
    JSON.stringify({ keys: [key, ...more].map(({ jwk }) => jwk) })
  const folder = t.testdir({
    'login.json': jwks(ec, rsa, ed),
    'other.json': jwks(ofOther),
    'globex.json': jwks(ofGlobex),
  })
  const proxy = await lab.proxy({
    http1: { maxHead: '128KiB' },
    authentication: {
      jwt: [
        { issuer: ISSUER, audiences: ['orders'], jwks: `${folder}/login.json` },
        { issuer: OTHER, audiences: ['orders'], jwks: `${folder}/other.json` },
      ],
    },
    tenants: [
      tenant('acme', await deploymentOf('acme')),
      tenant('globex', await deploymentOf('globex'), {
        jwt: [{ issuer: OWN, audiences: ['orders'], jwks: `${folder}/globex.json` }],
      }),
    ],
  })
  return { proxy, asked, lab }
}

/** What a call with `lines` is answered: the body of a deployment, or the status and code of a refusal. */
async function call({ lab, proxy }: World, lines: string, host = 'nobody.test'): Promise<string> {
  const client = await lab.client(proxy)
  await client.send(`GET / HTTP/1.1\r\nhost: ${host}\r\n${lines}\r\n`)
  const { status, body } = await readAnswer(client)
  client.reset()
  return status === 200 ? body : `${status} ${codeOf(body)}`
}

const bearer = (text: string): string => `authorization: Bearer ${text}\r\n`

await proxyTest('attacks on tokens', async (t, lab) => {
  let fetches = 0
  const elsewhere = createServer((_request, response) => {
    fetches += 1
    response.end(JSON.stringify({ keys: [evil.jwk] }))
  }).listen(0, '127.0.0.1')
  await once(elsewhere, 'listening')
  t.teardown(() => elsewhere.close())
  const url = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/jwks.json`
  const here = await world(t, lab)
  const attacks = { ...attacksOnSignatures(url), ...attacksOnForm(), ...attacksOnClaims() }

  const accepted = async (when: string): Promise<void> => {
    for (const key of [ec, rsa, ed]) {
      const fresh = token({ key, claims: { jti: when } })
      t.equal(await call(here, bearer(fresh)), 'acme', `${when}, ${key.alg} is taken`)
    }
    t.same(here.asked.splice(0), ['acme', 'acme', 'acme'])
  }
  await accepted('before')
  for (const [name, { tokens, refusal = 'credential_invalid' }] of Object.entries(attacks)) {
    await t.test(name, async st => {
      const before = here.asked.length
      for (const [index, each] of tokens.entries()) {
        st.equal(await call(here, bearer(each)), `401 ${refusal}`, `${index}: ${each.slice(0, 60)}`)
      }
      st.equal(here.asked.length, before, 'no deployment saw any of it')
    })
  }

  await t.test('a tenant’s own issuer that claims to be another tenant', async st => {
    const own = (claims: Record<string, unknown>): string =>
      bearer(token({ key: ofGlobex, claims: { iss: OWN, ...claims } }))
    for (const claims of [
      { tenant: 'acme' },
      { tenant: ['acme'] },
      { tenant: undefined },
      { tenant: 'acme', sub: 'acme', azp: 'acme', org: 'acme' },
    ]) {
      st.equal(await call(here, own(claims)), 'globex', JSON.stringify(claims))
      st.equal(await call(here, own(claims), 'acme.test'), '403 tenant_mismatch', 'at acme’s name')
      const key = `x-api-key: ${keyOf('acme')}\r\n`
      st.equal(await call(here, own(claims) + key), '403 tenant_mismatch', 'with acme’s key')
    }
  })

  await t.test('a token in two fields, or two in one', async st => {
    const before = here.asked.length
    const [one, two] = [token(), token({ claims: { jti: '2' } })]
    for (const lines of [
      bearer(one) + bearer(one),
      bearer(one) + bearer(two),
      `${bearer(one)}Authorization: ApiKey ${keyOf('acme')}\r\n`,
    ])
      st.equal(await call(here, lines), '400 credential_ambiguous')
    for (const text of [`${one}, Bearer ${two}`, `${one},${two}`, `${one} ${two}`])
      st.equal(await call(here, bearer(text)), '401 credential_invalid')
    st.equal(here.asked.length, before)
  })

  await t.test('a malleable signature (s and n − s) gains nothing', async st => {
    const flipped = token({ signer: altered(ec, withOtherS) })
    // ECDSA takes both (FIPS 186-5), so it is a token of the same tenant; it is known by its own text.
    st.equal(await call(here, bearer(flipped)), 'acme')
    st.equal(await call(here, bearer(flipped), 'globex.test'), '403 tenant_mismatch')
  })

  await t.test('a bad token is never made up for by other evidence', async st => {
    const bad = bearer(token({ key: evil }))
    st.equal(await call(here, bad, 'acme.test'), '401 credential_invalid', 'a name')
    const key = `x-api-key: ${keyOf('acme')}\r\n`
    st.equal(await call(here, bad + key), '401 credential_invalid', 'an API key')
  })

  await t.test(
    'a refused token stays refused, and its neighbour good, with every repetition',
    async st => {
      const [good, bad] = [
        token({ claims: { jti: 'x' } }),
        token({ key: evil, claims: { jti: 'x' } }),
      ]
      for (let time = 0; time < 3; time += 1) {
        st.equal(await call(here, bearer(bad)), '401 credential_invalid')
        st.equal(await call(here, bearer(good)), 'acme')
      }
    },
  )

  here.asked.length = 0
  await accepted('after')
  t.equal(fetches, 0, 'nothing was fetched from where a token said')
  t.notOk('tenant' in {} || 'polluted' in {}, 'no object has got what tokens said')
})
