import { connect } from 'node:net'
import { test } from 'tap'
import { AdminRefusals } from '../../../../src/proxy/primary/admin-refusals.ts'
import { AdminServer } from '../../../../src/proxy/primary/admin-server.ts'
import { systemClock } from '../../../../src/runtime/clock.ts'
import { LogLines } from '../../../support/log-lines.ts'

/** More than the system keeps on its way. */
const BODY = 'x'.repeat(16 * 1024 * 1024)

await test('a client that reads nothing of its answer does not keep its place', async t => {
  const { logger } = new LogLines()
  const server = new AdminServer({
    address: '127.0.0.1:0',
    routes: [
      {
        method: 'GET',
        path: '/metrics',
        answer: () => ({ status: 200, contentType: 'text/plain', body: BODY }),
      },
    ],
    logger,
    refusals: new AdminRefusals({ clock: systemClock, logger }),
    idleTimeoutMs: 200,
  })
  t.teardown(async () => server.close())
  const opened = await server.listen()
  if (!opened.ok) throw new Error(opened.problem)
  const socket = connect(Number(opened.address.split(':')[1]), '127.0.0.1')
  let bytes = 0
  socket.on('error', () => {})
  socket.write('GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n')
  // By the clock: that it is cut shows only to who reads.
  await new Promise(resolve => setTimeout(resolve, 1_500))
  socket.on('data', chunk => {
    bytes += chunk.length
  })
  await new Promise<void>(resolve => socket.once('close', () => resolve()))
  t.ok(bytes < BODY.length, `cut after ${bytes} bytes`)
})
