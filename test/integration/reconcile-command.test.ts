/** `amt reconcile`: exit 0 where what a proxy has counted is what the ledger has, 1 where it is not. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { t, test } from 'tap'
import { runAmt } from '../support/amt.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'
import { StartedPrimary } from '../support/start-primary.ts'

// Whole programs are started, on a machine that may be busy.
t.setTimeout(120_000)

await test('books that balance, and books that do not', async t => {
  const mixer = await startMixer(t)
  const primary = new StartedPrimary(t, { mixerUrl: mixer.url, workers: 2 })
  const client = await primary.client()
  await client.ask('use acme:3')
  await client.ask('use globex:4')
  // Before, the books balance just as well: with less acknowledged and more pending.
  await primary.booked(7)
  const env = { AMT_MIXER_URL: mixer.url, AMT_MIXER_TOKEN: TOKEN }
  const admin = ['--admin', await primary.adminUrl()]
  const well = await runAmt(['reconcile', ...admin], { env })
  t.match(well, { code: 0, stderr: '' })
  t.match(well.stdout, /^counted +7 /m)
  t.match(well.stdout, /^journaled +7 /m)
  t.match(well.stdout, /^acknowledged +7 +70 +700 /m)
  t.match(well.stdout, /^pending +0 /m)
  t.match(well.stdout, /^acme +3 +3 +3 +0 +0$/m)
  t.match(well.stdout, /the books balance\n$/)

  const json = await runAmt(['reconcile', ...admin, '--json'], { env })
  t.match(JSON.parse(json.stdout), {
    balanced: true,
    problems: [],
    proxy: { totals: { counted: { calls: 7 } }, journals: [{ state: 'live', durable: 2 }] },
    mixer: { producers: [{ durable: 2, totals: { calls: 7 } }], ledger: { calls: 7 } },
  })

  await t.test('the ledger has less than it acknowledged', async t => {
    const ledger = new DatabaseSync(mixer.ledger, { timeout: 5_000 })
    ledger.exec("UPDATE usage SET calls = calls - 1 WHERE tenant = 'acme'")
    const less = await runAmt(['reconcile', ...admin], { env })
    t.match(less, { code: 1, stderr: /^amt reconcile: the ledger: its windows hold 1 calls less/m })
    ledger.exec("UPDATE usage SET calls = calls + 1 WHERE tenant = 'acme'")
    ledger.close()
  })

  await t.test('a worker counts what is in no journal', async t => {
    await client.ask('claim acme')
    const more = await runAmt(['reconcile', ...admin], { env })
    t.match(more, { code: 1, stderr: /^amt reconcile: tenant acme: counted 1 calls more, /m })
  })
})

await test('a side that cannot be asked is named', async t => {
  const mixer = await startMixer(t)
  const env = { AMT_MIXER_URL: mixer.url, AMT_MIXER_TOKEN: TOKEN }
  const away = await runAmt(['reconcile', '--admin', 'http://127.0.0.1:9'], { env })
  t.match(away, { code: 1, stderr: /^amt reconcile: the proxy cannot be asked at http.*:9: .*\n$/ })
  const other = await runAmt(['reconcile', '--admin', mixer.url], { env })
  t.match(other, { code: 1, stderr: /answered 404, but not as the admin server of a proxy does/ })
  const primary = new StartedPrimary(t, { mixerUrl: mixer.url })
  const admin = ['--admin', await primary.adminUrl()]
  const refused = await runAmt(['reconcile', ...admin], {
    env: { ...env, AMT_MIXER_TOKEN: 'another-token-than-its' },
  })
  t.match(refused, { code: 1, stderr: /^amt reconcile: the mixer cannot be asked: / })
  t.match(await runAmt(['reconcile', '--admin', 'nowhere'], { env }), { code: 2 })
  t.match(await runAmt(['reconcile'], { env: {}, cwd: t.testdir({}) }), {
    code: 2,
    stderr: /^amt reconcile: name the mixer/,
  })
})

await test('an admin server on a unix socket, with a token', async t => {
  const mixer = await startMixer(t)
  const token = 'a-token-of-the-admin-server'
  const folder = mkdtempSync(join(tmpdir(), 'amt-r-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const address = `unix:${join(folder, 'admin.sock')}`
  const primary = new StartedPrimary(t, {
    mixerUrl: mixer.url,
    config: { admin: { address, token } },
  })
  await primary.log.first('ready')
  const env = { AMT_MIXER_URL: mixer.url, AMT_MIXER_TOKEN: TOKEN }
  const without = await runAmt(['reconcile', '--admin', address], { env })
  t.match(without, { code: 1, stderr: /asked at unix:.*: needs a token: .*AMT_ADMIN_TOKEN/ })
  const withToken = { env: { ...env, AMT_ADMIN_TOKEN: token } }
  const well = await runAmt(['reconcile', '--admin', address], withToken)
  t.match(well, { code: 0, stdout: /the books balance/ })
})
