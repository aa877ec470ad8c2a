/** `POST /profile/cpu` and `/profile/heap`: of real workers and of the primary, bounded in time and in number. */
import cluster from 'node:cluster'
import { request } from 'node:http'
import { t, test } from 'tap'
import { callAdmin } from '../support/admin-call.ts'
import { readUntil } from '../support/running-amt.ts'
import { StartedPrimary } from '../support/start-primary.ts'

// Real workers are started, on a machine that may be busy.
t.setTimeout(120_000)

await test('a CPU profile of a worker and of the primary, one at a time', async t => {
  const primary = new StartedPrimary(t, { realWorkers: true })
  const base = await primary.adminUrl()
  const taking = callAdmin(base, { method: 'POST', path: '/profile/cpu?worker=1&seconds=1' })
  const busy = await readUntil(
    () => callAdmin(base, { method: 'POST', path: '/profile/heap?worker=primary&max=1B' }),
    ({ status }) => status === 409,
  )
  t.match(JSON.parse(busy.body), { type: 'about:amt/profile_in_progress' })
  const answer = await taking
  t.equal(answer.status, 200)
  t.equal(answer.headers['content-disposition'], 'attachment; filename="worker-1.cpuprofile"')
  const profile = JSON.parse(answer.body) as {
    nodes: unknown[]
    startTime: number
    endTime: number
  }
  t.ok(profile.nodes.length > 0)
  t.ok(profile.endTime - profile.startTime >= 900_000, 'of a second, in µs')
  const own = await callAdmin(base, {
    method: 'POST',
    path: '/profile/cpu?worker=primary&seconds=1',
  })
  t.match(JSON.parse(own.body), { nodes: Array })
})

await test('a heap snapshot of a worker comes whole; one that is too large is refused', async t => {
  const primary = new StartedPrimary(t, { realWorkers: true })
  const base = await primary.adminUrl()
  const large = await callAdmin(base, { method: 'POST', path: '/profile/heap?worker=1&max=1MiB' })
  t.equal(large.status, 503)
  t.match(JSON.parse(large.body), {
    type: 'about:amt/profile_failed',
    detail: /^the heap has \d+ MiB, and max is 1 MiB/,
  })
  const answer = await callAdmin(base, { method: 'POST', path: '/profile/heap?worker=1' })
  t.equal(answer.status, 200)
  t.match(JSON.parse(answer.body), {
    snapshot: { meta: Object, node_count: Number },
    strings: Array,
  })
})

await test('who hangs up ends the profile, and a worker that dies ends it, too', async t => {
  const primary = new StartedPrimary(t, { realWorkers: true })
  const base = await primary.adminUrl()
  const { hostname, port } = new URL(base)
  const path = '/profile/cpu?worker=1&seconds=60'
  const hanging = request({ hostname, port, path, method: 'POST' })
  hanging.on('error', () => {})
  hanging.end()
  const next = '/profile/heap?worker=1&max=1B'
  const ask = () => callAdmin(base, { method: 'POST', path: next })
  await readUntil(ask, ({ status }) => status === 409)
  hanging.destroy()
  t.equal((await readUntil(ask, ({ status }) => status === 503)).status, 503, 'it is free again')

  const taking = callAdmin(base, { method: 'POST', path })
  await readUntil(ask, ({ status }) => status === 409)
  for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGKILL')
  t.equal((await taking).status, 503)
})

await test('a profile that is malformed, or of nobody, is refused', async t => {
  const primary = new StartedPrimary(t, {})
  const base = await primary.adminUrl()
  for (const [query, status] of [
    ['cpu', 400],
    ['cpu?worker=0', 400],
    ['cpu?worker=x', 400],
    ['cpu?worker=1&seconds=0', 400],
    ['cpu?worker=1&seconds=61', 400],
    ['cpu?worker=1&seconds=1e1', 400],
    ['heap?worker=1&max=much', 400],
    ['cpu?worker=9&seconds=1', 404],
    ['memory?worker=1', 404],
  ] as const)
    t.equal(
      (await callAdmin(base, { method: 'POST', path: `/profile/${query}` })).status,
      status,
      query,
    )
  t.equal((await callAdmin(base, { path: '/profile/cpu?worker=1' })).status, 405, 'no GET')
})
