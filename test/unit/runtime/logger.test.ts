import { test } from 'tap'
import { createLogger } from '../../../src/runtime/logger.ts'

await test('no secret field reaches the output, however deep it stands', async t => {
  const lines: string[] = []
  const logger = createLogger(
    { level: 'debug', name: 'proxy' },
    { write: line => lines.push(line) },
  )
  const secrets = {
    authorization: 'Bearer hush',
    'x-api-key': 'hush',
    cookie: 'hush',
    token: 'hush',
    key: 'hush',
  }
  logger.info(secrets, 'top')
  logger.info({ headers: secrets }, 'one deep')
  logger.info({ request: { headers: secrets } }, 'two deep')
  logger.child({ token: 'hush' }).info('child')
  t.equal(lines.length, 4)
  t.notOk(lines.join('').includes('hush'))
  t.ok(lines[0]?.includes('[redacted]'))
})

await test('lines are JSON with an ISO time, a named level and the part that writes', async t => {
  const lines: string[] = []
  const logger = createLogger({ level: 'info', name: 'mixer' }, { write: line => lines.push(line) })
  logger.debug('not written')
  logger.warn({ port: 1 }, 'written')
  t.equal(lines.length, 1)
  const line = JSON.parse(lines[0] ?? '') as Record<string, unknown>
  t.match(line, { level: 'warn', name: 'mixer', port: 1, msg: 'written', pid: process.pid })
  t.equal(new Date(String(line.time)).toISOString(), line.time)
})
