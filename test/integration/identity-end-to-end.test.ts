/** From the configuration to the answer: the real processes, and deployments that call the mixer. */
import { existsSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { t } from 'tap'
import { amtCommand } from '../support/amt.ts'
import { freePorts } from '../support/free-ports.ts'
import { startDeployment } from '../support/identity/deployment.ts'
import { Program } from '../support/program.ts'
import { readUntil, startAmt } from '../support/running-amt.ts'
import { TOKEN } from '../support/start-mixer.ts'

t.setTimeout(120_000)
const skip = existsSync('/proc/net/tcp') ? false : 'no /proc/net/tcp: this is no Linux'
const LISTENERS = [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }]

function tenantOf(id: string, port: number | undefined): Record<string, unknown> {
  return { id, deployment: { endpoints: [`http://127.0.0.1:${port}`] } }
}

await t.test(
  'a proxy registers its tenants, and their deployments are known',
  { skip },
  async t => {
    const folder = t.testdir({ 'tenants.d': {} })
    const acme = await startDeployment(t, { listen: [['127.0.0.1', 0]] })
    const beta = await startDeployment(t, { listen: [['127.0.0.1', 0]] })
    const amt = await startAmt(t, folder, {
      service: { name: 'notes' },
      listeners: LISTENERS,
      tenants: [tenantOf('acme', acme.ports[0])],
      tenantSources: [{ directory: 'tenants.d' }],
      workers: 1,
    })
    const whoami = { url: `${amt.mixerUrl}/v1/whoami` }
    const known = { tenant: 'acme', deployment: 'notes/acme', recoveredBy: 'process' }
    const answer = await readUntil(
      () => acme.call(whoami),
      ({ status }) => status === 200,
    )
    t.same(answer, { status: 200, body: known })
    t.match(await beta.call(whoami), { status: 403 })

    // A tenant that comes while the proxy runs; at once, so that no half of the file is ever seen.
    await writeFile(join(folder, 'beta.new'), JSON.stringify(tenantOf('beta', beta.ports[0])))
    await rename(join(folder, 'beta.new'), join(folder, 'tenants.d', 'beta.yaml'))
    const later = await readUntil(
      () => beta.call(whoami),
      ({ status }) => status === 200,
    )
    t.match(later, { body: { tenant: 'beta' } })
    t.match(await acme.call(whoami), { body: { tenant: 'acme' } })
  },
)

await t.test('`amt up` is enough for that', { skip }, async t => {
  const acme = await startDeployment(t, { listen: [['127.0.0.1', 0]] })
  const [mixer, admin] = await freePorts(2)
  const folder = t.testdir({})
  const file = join(folder, 'amt.yaml')
  const config = {
    listeners: LISTENERS,
    tenants: [tenantOf('acme', acme.ports[0])],
    mixer: { url: `http://127.0.0.1:${mixer}`, token: TOKEN, journal: 'journal' },
    ledger: 'sqlite:ledger.db',
    admin: { address: `127.0.0.1:${admin}` },
  }
  // JSON is YAML, too.
  await writeFile(file, JSON.stringify(config))
  const args = ['up', '--config', file, '--state', join(folder, 'state'), '--workers', '1']
  const up = new Program(t, amtCommand(args))
  await up.line(/^Ready\./)
  const answer = await readUntil(
    () => acme.call({ url: `http://127.0.0.1:${mixer}/v1/whoami` }),
    ({ status }) => status === 200,
  )
  t.same(answer, {
    status: 200,
    body: { tenant: 'acme', deployment: 'amt/acme', recoveredBy: 'process' },
  })
  t.equal(await up.stop(), 0)
})
