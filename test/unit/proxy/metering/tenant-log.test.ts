/** How many lines a tenant may write. */
import { test } from 'tap'
import { TenantLog } from '../../../../src/proxy/metering/tenant-log.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { LogLines } from '../../../support/log-lines.ts'

const MESSAGE = 'endpoint ejected'

await test('lines of one tenant in masses: the first ones, some more with time, and what is left out is said', t => {
  const log = new LogLines()
  const clock = new FakeClock(0)
  const suppressed: string[] = []
  const lines = new TenantLog({
    logger: log.logger,
    clock,
    stats: { limited: (tenant, limit) => suppressed.push(`${tenant} ${limit}`) },
  })
  for (let line = 0; line < 1_000; line += 1) lines.warn('noisy', { line }, MESSAGE)
  t.equal(log.lines.length, 60)
  t.same(suppressed, Array(940).fill('noisy log_lines'))
  lines.warn('quiet', { line: 0 }, MESSAGE)
  t.match(log.lines.at(-1), { tenant: 'quiet', line: 0, msg: MESSAGE })
  clock.ms += 5_000
  lines.warn('noisy', { line: 1_000 }, MESSAGE)
  lines.warn('noisy', { line: 1_001 }, MESSAGE)
  t.match(log.lines.at(-1), { tenant: 'noisy', line: 1_000, suppressed: 940 })
  clock.ms += 60 * 60_000
  for (let line = 0; line < 1_000; line += 1) lines.warn('noisy', { line }, MESSAGE)
  t.equal(log.lines.length, 62 + 60)
  t.match(log.lines.at(62), { suppressed: 1 })
  t.notOk('suppressed' in (log.lines.at(63) ?? {}))
  t.end()
})

await test('of very many tenants the last ones are remembered', t => {
  const log = new LogLines()
  const lines = new TenantLog({
    logger: log.logger,
    clock: new FakeClock(0),
    stats: { limited: () => {} },
  })
  const fill = (tenant: string): number => {
    const before = log.lines.length
    for (let line = 0; line < 100; line += 1) lines.warn(tenant, {}, MESSAGE)
    return log.lines.length - before
  }
  t.equal(fill('first'), 60)
  for (let tenant = 0; tenant < 1_000; tenant += 1) lines.warn(`tenant-${tenant}`, {}, MESSAGE)
  t.equal(fill('first'), 60, 'it was forgotten')
  t.equal(fill('first'), 0)
  t.end()
})
