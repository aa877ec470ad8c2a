/** `GET`, `PUT` and `DELETE /log-level`: the primary and every worker, also those that come later. */
import { test } from 'tap'
import { callAdmin } from '../support/admin-call.ts'
import { readUntil } from '../support/running-amt.ts'
import { StartedPrimary } from '../support/start-primary.ts'

await test('PUT /log-level changes the level of the primary and of its workers, without a restart', async t => {
  const primary = new StartedPrimary(t, {
    config: { log: { level: 'info' } },
    workers: 2,
  })
  const base = await primary.adminUrl()
  t.same(await primary.json('/log-level'), { level: 'info', configured: 'info', until: null })
  const body = JSON.stringify({ level: 'debug' })
  const answer = await callAdmin(base, { method: 'PUT', path: '/log-level', body })
  t.same(JSON.parse(answer.body), { level: 'debug', configured: 'info', until: null })
  t.equal(primary.log.logger.level, 'debug')
  const client = await primary.client()
  await client.ask('log-level')
  t.equal(client.tenants, 'debug', 'a worker that serves')
  const former = new Set([client.pid])
  client.socket.write('crash\n')
  await client.closed
  await readUntil(
    () => primary.json<{ workers: { ready: number } }>('/readyz'),
    ({ workers }) => workers.ready === 2,
  )
  // Each of the two takes some of many connections.
  const levels = new Map<number, string>()
  while (levels.size < 2) {
    const next = await primary.client()
    await next.ask('log-level')
    levels.set(next.pid, next.tenants)
    next.socket.destroy()
  }
  t.same([...levels.values()], ['debug', 'debug'], 'a worker that came later')
  t.notOk([...levels.keys()].some(pid => former.has(pid)))
  await callAdmin(base, { method: 'DELETE', path: '/log-level' })
  t.same(await primary.json('/log-level'), { level: 'info', configured: 'info', until: null })
  t.equal(primary.log.logger.level, 'info')
})

await test('a level with an end goes back by itself', async t => {
  const primary = new StartedPrimary(t, {})
  const base = await primary.adminUrl()
  const body = JSON.stringify({ level: 'error', for: '50ms' })
  const answer = await callAdmin(base, { method: 'PUT', path: '/log-level', body })
  t.match(JSON.parse(answer.body), { level: 'error', until: /^20\d\d-.*Z$/ })
  // By the clock: that is what is asked for.
  while (primary.log.logger.level !== 'info') await new Promise(resolve => setTimeout(resolve, 5))
  t.same(await primary.json('/log-level'), { level: 'info', configured: 'info', until: null })
})

await test('what is no level changes nothing', async t => {
  const primary = new StartedPrimary(t, {})
  const base = await primary.adminUrl()
  for (const body of [
    '',
    'debug',
    '{"level":"trace"}',
    '{"level":"debug","for":"0s"}',
    '{"level":"debug","for":"25h"}',
    '{"level":"debug","for":10}',
    '{"level":"debug","more":1}',
    '[]',
    '{"level"',
  ]) {
    const answer = await callAdmin(base, { method: 'PUT', path: '/log-level', body })
    t.equal(answer.status, 400, body)
    t.match(JSON.parse(answer.body), {
      type: 'about:amt/malformed_message',
      detail: /error, warn, info, debug/,
    })
  }
  t.match(await primary.json('/log-level'), { level: 'info' })
})
