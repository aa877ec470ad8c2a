/** From the start of the primary to its end: readiness, drain, a stop that cannot wait, and starts that fail. */
import { createServer } from 'node:net'
import { test } from 'tap'
import { callsByTenant } from '../support/ledger-calls.ts'
import { startMixer } from '../support/start-mixer.ts'
import { StartedPrimary } from '../support/start-primary.ts'

await test('it is ready once, when all workers are, and says where', async t => {
  const primary = new StartedPrimary(t, { mixerUrl: (await startMixer(t)).url, workers: 2 })
  const ready = await primary.log.first('ready')
  t.match(ready.bound, [{ listener: 'public', address: /^127\.0\.0\.1:\d+$/ }])
  t.equal((ready.bound as unknown[]).length, 1, 'both workers share the address')
  t.equal((await primary.get('/readyz')).status, 200)
  t.match(await primary.json('/readyz'), { status: 'ready', workers: { ready: 2, count: 2 } })
  primary.signals.stop('SIGTERM')
  t.same(await primary.ended, { exitCode: 0 })
  t.equal(primary.log.all('ready').length, 1)
})

await test('a proxy that must not hand over says so when it is told to', async t => {
  const primary = new StartedPrimary(t, {})
  await primary.log.first('ready')
  primary.signals.upgrade?.()
  t.match(await primary.log.first('not upgraded; this version goes on'), {
    problem: /^this process cannot hand over/,
  })
  t.equal((await primary.get('/readyz')).status, 200)
})

await test('a drain lets clients finish, is not ready meanwhile, and ships the last usage', async t => {
  const mixer = await startMixer(t)
  const primary = new StartedPrimary(t, { mixerUrl: mixer.url })
  const client = await primary.client()
  await client.ask('use acme:3')
  primary.signals.stop('SIGTERM')
  const { status, body } = await primary.get('/readyz')
  t.equal(status, 503)
  t.match(JSON.parse(body), { status: 'draining' })
  t.equal((await primary.get('/livez')).status, 200)
  await client.ask('use acme:4')
  client.socket.end()
  t.same(await primary.ended, { exitCode: 0 })
  t.same(await callsByTenant(mixer.url), { acme: 7, last: 1 })
})

await test('the last word of a worker is heard to its end, also when its exit is noticed first', async t => {
  const mixer = await startMixer(t)
  const primary = new StartedPrimary(t, { mixerUrl: mixer.url })
  const client = await primary.client()
  await client.ask('talkative 200')
  client.socket.end()
  primary.signals.stop('SIGTERM')
  t.same(await primary.ended, { exitCode: 0 })
  t.same(await callsByTenant(mixer.url), { last: 1 })
})

await test('a client that does not finish is cut when the time is up', async t => {
  const primary = new StartedPrimary(t, {
    mixerUrl: (await startMixer(t)).url,
    config: { timeouts: { drain: '50ms' } },
  })
  const client = await primary.client()
  primary.signals.stop('SIGINT')
  await client.closed
  t.same(await primary.ended, { exitCode: 0 })
})

await test('a worker that ignores the drain is killed', async t => {
  const primary = new StartedPrimary(t, {
    mixerUrl: (await startMixer(t)).url,
    config: { timeouts: { drain: '50ms' } },
  })
  const client = await primary.client()
  await client.ask('hang')
  primary.signals.stop('SIGTERM')
  await primary.log.first('workers did not end in time and are killed')
  t.same(await primary.ended, { exitCode: 0 })
})

await test('a second signal stops at once and saves usage for the next start', async t => {
  const primary = new StartedPrimary(t, {})
  const client = await primary.client()
  await client.ask('use acme:5')
  primary.signals.stop('SIGTERM')
  primary.signals.stop('SIGTERM')
  t.same(await primary.ended, { exitCode: 1 })
  await client.closed

  const mixer = await startMixer(t)
  const next = new StartedPrimary(t, { mixerUrl: mixer.url, folder: primary.folder })
  await next.log.first('ready')
  next.signals.stop('SIGTERM')
  t.same(await next.ended, { exitCode: 0 })
  t.same(await callsByTenant(mixer.url), { acme: 5, last: 1 })
})

await test('POST /drain ends it like a signal, and twice is not a second signal', async t => {
  const primary = new StartedPrimary(t, { mixerUrl: (await startMixer(t)).url })
  const client = await primary.client()
  t.match(await primary.post('/drain'), { status: 202, json: { status: 'draining' } })
  t.equal((await primary.post('/drain')).status, 202)
  t.match(await primary.post('/reload'), { status: 503, json: { type: 'about:amt/draining' } })
  client.socket.end()
  t.same(await primary.ended, { exitCode: 0 })
})

await test('readiness fails first: within drain.grace clients still come, and then no more', async t => {
  const primary = new StartedPrimary(t, {
    mixerUrl: (await startMixer(t)).url,
    config: { drain: { grace: '400ms' } },
  })
  await primary.client()
  const started = performance.now()
  primary.signals.stop('SIGTERM')
  t.equal((await primary.get('/readyz')).status, 503)
  const late = await primary.client()
  await late.ask('hello')
  t.equal((await primary.get('/readyz')).status, 503)
  t.same(await primary.ended, { exitCode: 0 })
  t.ok(performance.now() - started >= 390, 'it has waited')
  await t.rejects(primary.client(), 'nobody is accepted any more')
})

await test('a second signal does not wait for the end of drain.grace', async t => {
  const primary = new StartedPrimary(t, { config: { drain: { grace: '1h' } } })
  await primary.client()
  primary.signals.stop('SIGTERM')
  primary.signals.stop('SIGINT')
  t.same(await primary.ended, { exitCode: 1 })
})

const listener = { mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }

await test('workers that cannot listen end the proxy, and each problem is told once', async t => {
  const config = { listeners: [{ ...listener, name: 'broken' }] }
  const primary = new StartedPrimary(t, { config, workers: 2 })
  t.same(await primary.ended, { exitCode: 1 })
  t.match(primary.log.all('cannot start'), [{ problem: 'listener "broken" is broken' }])
  t.equal(primary.log.all('cannot start').length, 1)
  t.same(primary.log.all('ready'), [])
  t.same(primary.log.all('worker died and is replaced'), [])
})

await test('a configuration that only a worker finds wrong is one all the same', async t => {
  const config = { listeners: [{ ...listener, name: 'broken-configuration' }] }
  const primary = new StartedPrimary(t, { config })
  t.same(await primary.ended, { exitCode: 2 })
})

await test('the journal of a proxy that lives is left alone, and the message names that proxy', async t => {
  const first = new StartedPrimary(t, { mixerUrl: (await startMixer(t)).url })
  await first.log.first('ready')
  const second = new StartedPrimary(t, { folder: first.folder })
  t.same(await second.ended, { exitCode: 1 })
  t.match(second.log.all('cannot start'), [
    { problem: new RegExp(`^mixer\\.journal: .*another proxy \\(process ${process.pid}\\) ships`) },
  ])
  first.signals.stop('SIGTERM')
  t.same(await first.ended, { exitCode: 0 })
})

await test('an admin port in use is named, and no worker is started', async t => {
  const other = createServer()
  await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
  t.teardown(() => other.close())
  const { port } = other.address() as { port: number }
  const primary = new StartedPrimary(t, { config: { admin: { address: `127.0.0.1:${port}` } } })
  t.same(await primary.ended, { exitCode: 1 })
  const [line] = primary.log.all('cannot start')
  t.match(line?.problem, `admin server: 127.0.0.1:${port}: the address is already in use`)
})
