/** `amt proxy --upgrade`: another process takes over while clients of all kinds go on, and a bad one changes nothing. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { t as root, test } from 'tap'
import { AMT, runAmt } from '../support/amt.ts'
import { keyOf } from '../support/proxy-lab.ts'
import { MIXER, readUntil } from '../support/running-amt.ts'
import { EchoTunnel, keptConnections, newConnections, streams } from '../support/upgrade-lab.ts'
import {
  admin,
  ended,
  shortFolder,
  type UpgradeWorld,
  upgradeWorld,
} from '../support/upgrade-world.ts'

root.setTimeout(600_000)

/** Processes start one after the other, and the machine may be busy. */
const PATIENCE_MS = 60_000

const HEAD = `host: acme.test\r\nx-api-key: ${keyOf('acme')}\r\n`
const HEADERS = { host: 'acme.test', 'x-api-key': keyOf('acme') }

async function get({ port }: UpgradeWorld): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const call = request({ port, host: '127.0.0.1', headers: HEADERS, agent: false }, response => {
    response.resume()
    response.once('end', () => resolve(response.statusCode ?? 0))
  })
  call.once('error', reject)
  call.end()
  return promise
}

async function drainOf(lab: UpgradeWorld): Promise<{ since: string; status: string } | null> {
  const { drain } = (await (await admin(lab, '/tenants/acme')).json()) as {
    drain: { since: string; status: string } | null
  }
  return drain
}

const TIMES = 3

await test(`upgraded ${TIMES} times under load: no connection, call, stream or tunnel is lost, and the ledger is exact`, {
  timeout: 240_000,
}, async t => {
  const lab = await upgradeWorld(t)
  const { application, port } = lab
  const loads = [
    newConnections(port, HEAD),
    keptConnections(t, port, HEADERS),
    streams(t, port, { ':authority': 'acme.test', 'x-api-key': keyOf('acme') }),
  ]
  const pids = [lab.pid()]
  let tunnels = 0
  const open: EchoTunnel[] = []
  for (let time = 1; time <= TIMES; time += 1) {
    const tunnel = await EchoTunnel.open(t, port, HEAD)
    open.push(tunnel)
    tunnels += 1
    const slow = new Promise<string>((resolve, reject) => {
      const call = request(
        { port, host: '127.0.0.1', headers: HEADERS, path: '/slow', agent: false },
        response => {
          let body = ''
          response.setEncoding('utf8').on('data', (chunk: string) => {
            body += chunk
          })
          response.once('end', () => resolve(body))
        },
      )
      call.once('error', reject)
      call.end()
    })
    await readUntil(
      async () => application.slowOnes,
      count => count === 1,
    )
    const before = loads.map(({ calls }) => calls)
    const { code, stdout, stderr } = await lab.upgrade()
    t.equal(code, 0, stderr)
    await readUntil(
      async () => lab.pid(),
      pid => !pids.includes(pid),
      PATIENCE_MS,
    )
    t.match(stdout, `upgraded: process ${lab.pid()} serves`)
    pids.push(lab.pid())
    // All kinds of clients go on behind it.
    const reached = await readUntil(
      async () => loads.map(({ calls }) => calls),
      now => now.every((calls, index) => calls > (before[index] ?? 0) + 20),
    )
    t.ok(
      reached.every((calls, index) => calls > (before[index] ?? 0)),
      JSON.stringify({ before, reached }),
    )
    application.answerSlow()
    t.equal(await slow, 'slow', 'a call that was begun before is answered')
    for (const each of open) await each.echo(`upgrade ${time}`)
  }
  await Promise.all(loads.map(async load => load.stop()))
  for (const tunnel of open) tunnel.end()
  for (const load of loads) t.same(load.failures, [])
  for (const pid of pids.slice(0, -1)) t.equal((await ended(lab, pid)).exitCode, 0)
  const calls = loads.reduce((sum, load) => sum + load.calls, 0) + TIMES + tunnels
  t.equal(application.calls, calls, 'nothing was called twice')
  t.equal(
    await readUntil(lab.ledger, found => found >= calls),
    calls,
    'and the ledger has each once',
  )
  process.kill(lab.pid(), 'SIGTERM')
  t.equal((await ended(lab, lab.pid())).exitCode, 0)
  t.equal(await lab.ledger(), calls)
  t.notOk(existsSync(join(lab.folder, 'journal', 'upgrade.sock')))
})

await test('a new version with a bad configuration changes nothing, and the command says what is wrong', async t => {
  const lab = await upgradeWorld(t)
  const before = lab.pid()
  lab.settings({ tenants: [{ id: 'Not An Id' }] })
  const bad = await lab.upgrade()
  t.equal(bad.code, 2)
  t.match(bad.stderr, /tenants\[0\]\.id/)
  t.match(bad.stderr, /not upgraded/)
  lab.settings({ mixer: { ...MIXER, url: lab.mixerUrl, journal: 'other' } })
  t.equal((await lab.upgrade()).code, 1, 'it is another proxy that has another journal')
  lab.settings({
    listeners: [{ name: 'public', mode: 'shared', address: '192.0.2.1:80' }],
  })
  const unbound = await lab.upgrade()
  t.equal(unbound.code, 1)
  t.match(unbound.stderr, /192\.0\.2\.1:80/)
  t.equal(await get(lab), 200)
  t.equal(lab.pid(), before)
  lab.settings({})
  t.equal((await lab.upgrade()).code, 0, 'and a good one is taken afterwards')
  t.equal(await get(lab), 200)
})

await test('a tenant that is drained stays drained, and serves when the new version is told so', async t => {
  const lab = await upgradeWorld(t)
  const path = '/tenants/acme/drain'
  t.equal((await admin(lab, `${path}?within=0s`, 'POST')).status, 202)
  await readUntil(
    async () => get(lab),
    status => status === 503,
    PATIENCE_MS,
  )
  const { since } = (await drainOf(lab)) ?? {}
  t.equal((await lab.upgrade()).code, 0)
  t.equal(await get(lab), 503)
  t.match(await drainOf(lab), { since, status: 'drained' })
  t.equal((await admin(lab, path, 'DELETE')).status, 200)
  t.equal(await drainOf(lab), null)
  t.equal(
    await readUntil(
      async () => get(lab),
      status => status === 200,
      PATIENCE_MS,
    ),
    200,
  )
})

await test('SIGUSR2 lets the same program take over', async t => {
  const lab = await upgradeWorld(t)
  const before = lab.pid()
  process.kill(before, 'SIGUSR2')
  await readUntil(
    async () => lab.pid(),
    pid => pid !== before,
    PATIENCE_MS,
  )
  t.not(lab.pid(), before)
  t.equal(await get(lab), 200)
  t.equal((await ended(lab, before)).exitCode, 0)
})

await test('--upgrade without a proxy says so, and starts none', async t => {
  const folder = shortFolder(t)
  const file = join(folder, 'proxy.yaml')
  writeFileSync(
    file,
    JSON.stringify({
      listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
      mixer: MIXER,
    }),
  )
  const { code, stderr } = await runAmt(['proxy', '--config', file, '--upgrade'])
  t.equal(code, 1)
  t.match(stderr, /no proxy that can hand over runs with this configuration/)
  const alone = await runAmt(['proxy', '--config', file, '--takeover'])
  t.equal(alone.code, 2)
  t.match(readFileSync(AMT, 'utf8'), /exec/)
})
