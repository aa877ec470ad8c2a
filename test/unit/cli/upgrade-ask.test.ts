import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { askForUpgrade } from '../../../src/cli/upgrade/ask.ts'

await test('a proxy that takes the request and never answers is not waited for without end', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'amt-ask-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const sockets: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, socket => sockets.push(socket.resume()))
  server.listen(join(folder, 'upgrade.sock'))
  await once(server, 'listening')
  const result = await askForUpgrade(folder, { program: '/usr/bin/amt', args: [] }, 100)
  t.match(result, { ok: false, problems: ['the running proxy does not answer within 0.1 s'] })
  for (const socket of sockets) socket.destroy()
  await new Promise(resolve => server.close(resolve))
})
