/** Reloading by signal, by the admin server and by a changed tenant source; bad changes change nothing. */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { type FakeClient, StartedPrimary, tenantEntry } from '../support/start-primary.ts'

const RELOADED = 'configuration reloaded'
const REFUSED = 'configuration refused; the old one stays in force'

await test('POST /reload brings new tenants to the workers', async t => {
  const primary = new StartedPrimary(t, { workers: 2 })
  const client = await primary.client()
  primary.writeConfig({ tenants: [tenantEntry('acme'), tenantEntry('globex')] })
  t.same(await primary.post('/reload'), { status: 200, json: { generation: 2, changed: true } })
  await client.ask('hello')
  t.equal(client.tenants, 'acme,globex')
  t.equal((await primary.get('/tenants/globex')).status, 200)
  t.match((await primary.get('/metrics')).body, /^amt_config_generation 2$/m)
})

await test('SIGHUP reloads limits', async t => {
  const primary = new StartedPrimary(t, {})
  await primary.log.first('ready')
  primary.writeConfig({ limits: { concurrency: 7 } })
  primary.signals.reload?.()
  t.match(await primary.log.first(RELOADED), { cause: 'signal', generation: 2 })
  t.match(await primary.json('/tenants/acme'), { limits: { concurrency: 7 } })
})

await test('a configuration with problems changes nothing and says all of them', async t => {
  const primary = new StartedPrimary(t, {})
  const client = await primary.client()
  primary.writeConfig({ tenants: [{ id: 'UPPER' }], nonsense: 1 })
  const { status, json } = await primary.post('/reload')
  t.equal(status, 422)
  t.match(json, { type: 'about:amt/configuration_refused', generation: 1 })
  const problems = json.problems as string[]
  t.ok(problems.length >= 2)
  t.match(problems.join('\n'), /amt\.yaml:\d+:\d+: .*nonsense/)
  t.same(
    primary.log.all(REFUSED).map(({ problem }) => problem),
    problems,
    'each is logged',
  )
  await client.ask('hello')
  t.equal(client.tenants, 'acme')
  const { body } = await primary.get('/metrics')
  t.match(body, /^amt_config_errors_total 1$/m)
  t.match(body, /^amt_config_generation 1$/m)
})

await test('what needs a restart is refused by name, with its place', async t => {
  const primary = new StartedPrimary(t, {})
  await primary.log.first('ready')
  primary.writeConfig({
    service: { name: 'another' },
    tenants: [tenantEntry('globex')],
    timeouts: { drain: '9s', worker: 'off' },
  })
  const { status, json } = await primary.post('/reload')
  t.equal(status, 422)
  const problems = json.problems as string[]
  t.match(problems, [
    /^\S*amt\.yaml:1:\d+: timeouts\.drain: cannot change while the proxy runs: restart it/,
    /^\S*amt\.yaml:1:\d+: service\.name: cannot change while the proxy runs: restart it/,
  ])
  t.same(
    primary.log.all(REFUSED).map(({ problem }) => problem),
    problems,
    'each is logged',
  )
  t.equal((await primary.get('/tenants/globex')).status, 404)
})

await test('what a worker cannot apply is taken back everywhere', async t => {
  const primary = new StartedPrimary(t, { workers: 2 })
  const client = await primary.client()
  primary.writeConfig({ tenants: [tenantEntry('unwanted'), tenantEntry('globex')] })
  const { status, json } = await primary.post('/reload')
  t.equal(status, 422)
  t.same(json.problems, ['tenant "unwanted": cannot be served'])
  await client.ask('hello')
  t.equal(client.tenants, 'acme')
  t.equal((await primary.get('/tenants/globex')).status, 404)
})

await test('a replacement for a dead worker begins with what was reloaded', async t => {
  const primary = new StartedPrimary(t, { workers: 2 })
  const client = await primary.client()
  primary.writeConfig({ tenants: [tenantEntry('globex')] })
  await primary.post('/reload')
  client.socket.write('crash\n')
  await primary.log.first('worker died and is replaced')
  const seen = new Set<number>()
  while (seen.size < 2) {
    const next = await primary.client().catch(() => undefined)
    if (next === undefined) continue
    t.equal(next.tenants, 'globex')
    seen.add(next.pid)
    next.socket.destroy()
  }
})

await test('a worker that was still starting during a reload gets it when it is ready', async t => {
  const primary = new StartedPrimary(t, { workers: 2 })
  const client = await primary.client()
  const slow = join(primary.folder, 'journal.slow')
  writeFileSync(slow, '')
  client.socket.write('crash\n')
  await primary.log.first('worker died and is replaced')
  // Until the replacement has said hello: only from then on it has the former configuration.
  await new Promise(resolve => setTimeout(resolve, 1_000))
  t.match(await primary.json('/readyz'), { workers: { ready: 1 } })
  primary.writeConfig({ tenants: [tenantEntry('globex')] })
  t.match(await primary.post('/reload'), { status: 200, json: { generation: 2 } })
  rmSync(slow)
  const byWorker = new Map<number, FakeClient>()
  while (byWorker.size < 2) {
    const next = await primary.client()
    byWorker.set(next.pid, next)
  }
  for (const each of byWorker.values()) {
    // The change is on its way; the time limit of the test is the limit.
    while (each.tenants !== 'globex') await each.ask('hello')
  }
  t.pass('both have it')
})

await test('tenant files that appear, change by renaming and disappear are followed', async t => {
  const primary = new StartedPrimary(t, {})
  await primary.log.first('ready')
  const file = join(primary.folder, 'tenants', 'globex.yaml')

  let reloaded = primary.log.next(RELOADED)
  writeFileSync(file, JSON.stringify(tenantEntry('globex')))
  t.match(await reloaded, { cause: 'watch', tenants: 2 })

  reloaded = primary.log.next(RELOADED)
  const temporary = join(primary.folder, 'globex.new')
  writeFileSync(temporary, JSON.stringify({ ...tenantEntry('globex'), disabled: true }))
  renameSync(temporary, file)
  await reloaded
  t.match(await primary.json('/tenants/globex'), { disabled: true })

  const refused = primary.log.next(REFUSED)
  writeFileSync(file, 'id: [')
  t.match(await refused, { cause: 'watch' })
  t.match(await primary.json('/tenants/globex'), { disabled: true }, 'the old one stays')

  reloaded = primary.log.next(RELOADED)
  rmSync(file)
  t.match(await reloaded, { tenants: 1 })
})

await test('a tenants file that is replaced is followed; its neighbours are not', async t => {
  const folder = t.testdir({ tenants: {}, 'tenants.jsonl': '' })
  const primary = new StartedPrimary(t, {
    folder,
    config: { tenantSources: [{ file: 'tenants.jsonl' }] },
  })
  await primary.log.first('ready')
  const reloaded = primary.log.next(RELOADED)
  writeFileSync(join(folder, 'neighbour'), 'x')
  writeFileSync(join(folder, 'next'), `${JSON.stringify(tenantEntry('initech'))}\n`)
  renameSync(join(folder, 'next'), join(folder, 'tenants.jsonl'))
  t.match(await reloaded, { tenants: 2, generation: 2 })
})
