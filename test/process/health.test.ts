/** `amt health`: what a container or a service manager asks in place of a person. */
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'tap'
import { runAmt } from '../support/amt.ts'
import { startAmt } from '../support/running-amt.ts'

await test('a proxy that serves is ready and live, by its configuration and by its address', async t => {
  const folder = t.testdir({})
  const amt = await startAmt(t, folder, {
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    tenants: [],
    workers: 1,
  })
  const admin = ['--admin', amt.adminUrl]
  t.same(await runAmt(['health', ...admin]), { code: 0, stdout: 'ready\n', stderr: '' })
  t.same(await runAmt(['health', '--live', ...admin]), { code: 0, stdout: 'live\n', stderr: '' })
})

await test('one that drains, or nobody, is not ready, and is told apart', async t => {
  const server = createServer((_, response) => {
    response.writeHead(503, { 'content-type': 'application/json' })
    response.end('{"status":"draining"}')
  })
  server.listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const draining = await runAmt(['health', '--admin', url])
  t.same(draining, { code: 1, stdout: '', stderr: 'amt health: not ready: draining\n' })
  await new Promise(resolve => server.close(resolve))
  const nobody = await runAmt(['health', '--admin', url])
  t.equal(nobody.code, 1)
  t.match(nobody.stderr, /^amt health: http:.*ECONNREFUSED/)
})

await test('the main file is enough to find it: tenants are not read', async t => {
  const folder = t.testdir({ 'tenants.jsonl': 'this is no tenant\n' })
  const file = join(folder, 'amt.yaml')
  await writeFile(
    file,
    JSON.stringify({
      listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
      tenantSources: [{ file: 'tenants.jsonl' }],
      mixer: { url: 'http://127.0.0.1:1', token: 'x'.repeat(32) },
      admin: { address: '127.0.0.1:1' },
    }),
  )
  const { code, stderr } = await runAmt(['health', '--config', file])
  t.equal(code, 1)
  t.match(stderr, /^amt health: http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/)
})
