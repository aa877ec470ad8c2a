/** Who gets to the admin server: loopback and a unix socket by default, a token for anything else. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { callAdmin } from '../support/admin-call.ts'
import { StartedPrimary } from '../support/start-primary.ts'

const TOKEN = 'a-token-of-the-admin-server'
const WITH_TOKEN = { authorization: `Bearer ${TOKEN}` }

async function metric(base: string, reason: string): Promise<number> {
  const { body } = await callAdmin(base, { path: '/metrics', headers: WITH_TOKEN })
  const [, count] =
    new RegExp(`^amt_admin_refused_total\\{reason="${reason}"\\} (\\d+)$`, 'm').exec(body) ?? []
  return Number(count)
}

/** Short: a path of a unix socket has some hundred bytes. */
function folder(t: Test): string {
  const made = mkdtempSync(join(tmpdir(), 'amt-a-'))
  t.teardown(() => rmSync(made, { recursive: true, force: true }))
  return made
}

await test('with a token every call needs it, but those of probes', async t => {
  const admin = { address: '0.0.0.0:0', token: TOKEN }
  const primary = new StartedPrimary(t, { config: { admin } })
  const base = (await primary.adminUrl()).replace('0.0.0.0', '127.0.0.1')
  const wrong = [
    undefined,
    'Bearer wrong',
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
    `Basic ${TOKEN}`,
    TOKEN,
    'Bearer ',
  ]
  const paths = [
    '/metrics',
    '/config',
    '/tenants',
    '/tenants/acme',
    '/log-level',
    '/nothing',
    '/reload',
  ]
  for (const authorization of wrong) {
    for (const path of paths) {
      const headers = authorization === undefined ? {} : { authorization }
      const answer = await callAdmin(base, { path, headers })
      t.equal(answer.status, 401, `${path} with ${authorization}`)
      t.match(JSON.parse(answer.body), { type: 'about:amt/unauthorized' })
      t.equal(answer.headers['www-authenticate'], 'Bearer realm="amt-admin"')
    }
  }
  const drain = await callAdmin(base, { method: 'POST', path: '/drain' })
  t.equal(drain.status, 401)
  t.equal(await metric(base, 'unauthorized'), wrong.length * paths.length + 1)
  t.equal(primary.log.all('a call of the admin server was refused').length, 1, 'one log line')
  const config = await callAdmin(base, { path: '/config', headers: WITH_TOKEN })
  t.equal(config.status, 200)
  t.notOk(config.body.includes(TOKEN), 'the token is not in the configuration that is shown')
})

await test('probes learn without the token whether it serves, and nothing else', async t => {
  const primary = new StartedPrimary(t, {
    config: { admin: { address: '0.0.0.0:0', token: TOKEN } },
  })
  const base = (await primary.adminUrl()).replace('0.0.0.0', '127.0.0.1')
  for (const host of ['10.1.2.3:9901', 'amt.example']) {
    const ready = await callAdmin(base, { path: '/readyz', headers: { host } })
    t.same([ready.status, JSON.parse(ready.body)], [200, { status: 'ready' }], host)
  }
  t.equal((await callAdmin(base, { path: '/livez' })).status, 200)
  const whole = await callAdmin(base, { path: '/readyz', headers: WITH_TOKEN })
  t.match(JSON.parse(whole.body), { workers: { ready: 1 } })
})

await test('a unix socket is for the user of the proxy alone', async t => {
  const path = join(folder(t), 'admin.sock')
  const primary = new StartedPrimary(t, { config: { admin: { address: `unix:${path}` } } })
  t.equal((await primary.log.first('ready')).admin, `unix:${path}`)
  t.equal(statSync(path).mode & 0o777, 0o600)
  const call = { socketPath: path, path: '/tenants' }
  t.equal((await callAdmin('http://localhost', call)).status, 200)
  const named = { ...call, headers: { host: 'whatever.example' } }
  t.equal((await callAdmin('http://localhost', named)).status, 200, 'no name leads there')
  primary.signals.stop('SIGTERM')
  await primary.ended
  t.notOk(existsSync(path), 'it is gone with the proxy')
})

await test('the path of a unix socket starts at the configuration', async t => {
  const primary = new StartedPrimary(t, {
    folder: folder(t),
    config: { admin: { address: 'unix:a.sock' }, tenantSources: [] },
  })
  t.equal((await primary.log.first('ready')).admin, `unix:${join(primary.folder, 'a.sock')}`)
})

await test('a socket that a killed proxy has left behind is taken away', async t => {
  const path = join(folder(t), 'admin.sock')
  const left = createServer()
  await new Promise<void>(resolve => left.listen(path, resolve))
  // As a kill does it: the socket is closed and its file stays.
  const kept = `${path}.kept`
  const { linkSync } = await import('node:fs')
  linkSync(path, kept)
  await new Promise(resolve => left.close(resolve))
  const { renameSync } = await import('node:fs')
  renameSync(kept, path)
  const primary = new StartedPrimary(t, { config: { admin: { address: `unix:${path}` } } })
  await primary.log.first('ready')
  t.equal((await callAdmin('http://localhost', { socketPath: path, path: '/livez' })).status, 200)
})

await test('what is in the place of the unix socket is said at the start', async t => {
  const place = folder(t)
  const file = join(place, 'file')
  writeFileSync(file, 'of somebody')
  chmodSync(file, 0o600)
  const taken = join(place, 'taken')
  const other = createServer()
  await new Promise<void>(resolve => other.listen(taken, resolve))
  t.teardown(() => other.close())
  const long = join(place, 'x'.repeat(120))
  const cases = [
    { path: file, says: 'there is something else than a socket already' },
    { path: taken, says: 'another process listens there' },
    { path: long, says: 'has 107 bytes at most' },
    { path: join(place, 'none', 'a.sock'), says: 'its folder is not there' },
  ]
  for (const { path, says } of cases) {
    const primary = new StartedPrimary(t, { config: { admin: { address: `unix:${path}` } } })
    t.same(await primary.ended, { exitCode: 1 })
    const { problem } = await primary.log.first('cannot start')
    t.match(problem, new RegExp(`^admin server: unix:${path}: .*${says}`), says)
  }
  t.ok(existsSync(file), 'and is left alone')
})

await test('the socket of a process that is too busy to accept is left to it', async t => {
  const path = join(folder(t), 'admin.sock')
  const busy = `require('node:net').createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 },
    () => process.send(1, () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000)))`
  const child = fork('-e', [busy], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'message')
  const fillers = Array.from({ length: 4 }, () => connect(path))
  t.teardown(() => {
    for (const filler of fillers) filler.destroy()
  })
  await Promise.all(
    fillers.map(filler => {
      filler.on('error', () => {})
      return new Promise<void>(resolve => {
        filler.once('connect', () => resolve())
        filler.once('close', () => resolve())
      })
    }),
  )
  t.ok(
    fillers.some(({ destroyed }) => destroyed),
    'its queue is full',
  )
  const primary = new StartedPrimary(t, { config: { admin: { address: `unix:${path}` } } })
  t.same(await primary.ended, { exitCode: 1 })
  t.match((await primary.log.first('cannot start')).problem, /another process listens there/)
  t.ok(existsSync(path), 'and is left alone')
})

await test('admin calls that are malformed: a clear answer, a metric, and nothing else disturbed', async t => {
  const primary = new StartedPrimary(t, {
    config: { admin: { address: '127.0.0.1:0', token: TOKEN } },
  })
  const base = await primary.adminUrl()
  const { port } = new URL(base)
  const raw = async (bytes: string): Promise<string> => {
    const socket = connect(Number(port), '127.0.0.1')
    let text = ''
    socket.on('data', chunk => {
      text += chunk.toString()
    })
    socket.write(bytes)
    await new Promise<void>(resolve => socket.once('close', () => resolve()))
    return text
  }
  const garbage = await raw('\u0016\u0003\u0001 this is no HTTP\r\n\r\n')
  t.match(garbage, /^HTTP\/1\.1 400 .*about:amt\/malformed_request/s)
  const huge = await raw(
    `GET /livez HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(9_000)}\r\n\r\n`,
  )
  t.match(huge, /^HTTP\/1\.1 431 .*about:amt\/head_too_large/s)
  const call = async (method: string, path: string, body?: string): Promise<number> =>
    (
      await callAdmin(base, {
        method,
        path,
        headers: WITH_TOKEN,
        ...(body === undefined ? {} : { body }),
      })
    ).status
  t.equal(await call('PUT', '/log-level', '{"level":"loud"}'), 400)
  t.equal(await call('PUT', '/log-level', 'x'.repeat(5_000)), 413)
  t.equal(await call('GET', '/tenants?limit=0'), 400)
  t.equal(await call('BREW', '/livez'), 400, 'a method that is none to node:http')
  t.equal(await call('DELETE', '/livez'), 405)
  t.equal(await call('GET', '/nothing'), 404)
  t.equal(await metric(base, 'malformed_request'), 2)
  t.equal(await metric(base, 'head_too_large'), 1)
  t.equal(await metric(base, 'malformed_message'), 2)
  t.equal(await metric(base, 'payload_too_large'), 1)
  t.equal(await metric(base, 'method_not_allowed'), 1)
  t.equal(await metric(base, 'not_found'), 1)
  const client = await primary.client()
  t.ok(client.pid > 0, 'traffic goes on')
})
