/** Issuers of tenants in a whole proxy: read from tenants' files, changed while it runs, in all of its workers. */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { t as file, type Test, test } from 'tap'
import type { BoundAddress } from '../../src/proxy/ipc.ts'
import { answering, manualDeployment } from '../support/manual-deployment.ts'
import { ok } from '../support/proxy-lab.ts'
import { FIT_FOR_TESTS, launchPart, MIXER, readUntil, readyLine } from '../support/running-amt.ts'
import { token } from '../support/token-attacks/parties.ts'
import { type SigningKey, signingKey } from '../support/token-issuer.ts'

file.setTimeout(120_000)

const [ofAcme, ofGlobex, rotated] = [signingKey('a'), signingKey('g'), signingKey('r')]
const issuerOf = (id: string): string => `https://login.${id}.example`
const jwks = (...keys: SigningKey[]): string => JSON.stringify({ keys: keys.map(({ jwk }) => jwk) })

interface Proxy {
  /** Writes the file of a tenant, whose issuer is that of `issuers`, or takes it away. */
  readonly tenant: (id: string, issuers: readonly string[] | undefined) => void
  readonly keys: (id: string, ...keys: SigningKey[]) => void
  readonly reload: () => Promise<{ status: number; problems: unknown }>
  /** What a token of `id` signed with `key` is answered by all workers: a deployment's name or a status. */
  readonly answers: (id: string, key: SigningKey) => Promise<string>
  readonly metric: (name: string) => Promise<number>
}

async function start(t: Test): Promise<Proxy> {
  const folder = t.testdir({
    keys: { 'acme.json': jwks(ofAcme), 'globex.json': jwks(ofGlobex) },
    'tenants.d': {},
  })
  const deployments: Record<string, number> = {}
  for (const id of ['acme', 'globex']) {
    const deployment = await manualDeployment({ serve: answering(ok(id)) })
    t.teardown(() => deployment.close())
    deployments[id] = deployment.port
  }
  const write = (name: string, value: string): void => {
    writeFileSync(join(folder, 'new'), value)
    renameSync(join(folder, 'new'), join(folder, name))
  }
  const tenant = (id: string, issuers: readonly string[] | undefined): void => {
    const name = `tenants.d/${id}.yaml`
    if (issuers === undefined) return rmSync(join(folder, name))
    const jwt = issuers.map(each => ({
      issuer: issuerOf(each),
      audiences: ['orders'],
      jwks: `../keys/${id}.json`,
    }))
    const deployment = { endpoints: [`http://127.0.0.1:${deployments[id]}`] }
    write(name, JSON.stringify({ id, jwt, deployment }))
  }
  tenant('acme', ['acme'])
  const program = await launchPart(t, 'proxy', folder, {
    ...FIT_FOR_TESTS,
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }],
    tenantSources: [{ directory: 'tenants.d' }],
    mixer: { ...MIXER, url: 'http://127.0.0.1:9' },
  })
  const ready = await readyLine(program)
  const [bound] = ready.bound as readonly BoundAddress[]
  const admin = `http://${String(ready.admin)}`
  return {
    tenant,
    keys: (id, ...keys) => write(`keys/${id}.json`, jwks(...keys)),
    async reload() {
      const response = await fetch(`${admin}/reload`, { method: 'POST' })
      const { problems } = (await response.json()) as { problems?: unknown }
      return { status: response.status, problems }
    },
    async answers(id, key) {
      const seen = new Set<string>()
      const authorization = `Bearer ${token({ key, claims: { iss: issuerOf(id), tenant: 'acme' } })}`
      // Enough of them, each on a connection of its own, to have been at both workers, almost surely.
      for (let count = 0; count < 10; count++) {
        const headers = { authorization, connection: 'close' }
        const response = await fetch(`http://${bound?.address ?? ''}/`, { headers })
        const text = await response.text()
        seen.add(response.status === 200 ? text : String(response.status))
      }
      return [...seen].toSorted().join()
    },
    async metric(name) {
      const text = await (await fetch(`${admin}/metrics`)).text()
      return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
    },
  }
}

await test('an issuer of a tenant comes, goes and changes its keys while the proxy runs', async t => {
  const proxy = await start(t)
  t.equal(await proxy.answers('acme', ofAcme), 'acme', 'keys beside the file that names them')
  t.equal(await proxy.answers('globex', ofGlobex), '401', 'nobody’s yet')
  proxy.tenant('globex', ['globex'])
  t.equal((await proxy.reload()).status, 200)
  t.equal(await proxy.answers('globex', ofGlobex), 'globex', 'though it claims to be acme')
  t.equal(await proxy.answers('acme', ofAcme), 'acme')
  t.equal(await proxy.answers('acme', ofGlobex), '401')

  proxy.tenant('globex', ['globex', 'acme'])
  const { status, problems } = await proxy.reload()
  t.equal(status, 422)
  t.match(
    String(problems),
    /the issuer https:\/\/login\.acme\.example is claimed by the tenants acme and globex/,
  )
  t.equal(await proxy.answers('acme', ofAcme), 'acme', 'a bad change changes nothing')

  proxy.keys('acme', rotated)
  const settled = await readUntil(
    async () => `${await proxy.answers('acme', ofAcme)} ${await proxy.answers('acme', rotated)}`,
    answers => answers === '401 acme',
  )
  t.equal(settled, '401 acme', 'a key that left is worth nothing, the new one is taken')

  proxy.tenant('globex', undefined)
  t.equal((await proxy.reload()).status, 200)
  t.equal(await proxy.answers('globex', ofGlobex), '401', 'gone with its tenant')
  t.equal(await proxy.answers('acme', rotated), 'acme')
  t.ok(
    (await readUntil(
      async () => proxy.metric('amt_jwt_issuers'),
      count => count >= 2,
    )) >= 2,
  )
})
