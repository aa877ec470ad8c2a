/** What expires soon is told: at once, once a day, and never of what is far away. */
import { test } from 'tap'
import type { TlsMaterial } from '../../../../src/proxy/listener/tls-material.ts'
import { CertificateExpiry } from '../../../../src/proxy/primary/certificate-expiry.ts'
import { TlsMetrics } from '../../../../src/proxy/primary/tls-metrics.ts'
import {
  createAuthority,
  issueServerCertificate,
} from '../../../../src/runtime/certificates/issue.ts'
import { LogLines } from '../../../support/log-lines.ts'

const DAY_MS = 86_400_000
const WARNINGS = new Map([['public', 14 * DAY_MS]])
const SOON = 'the certificate of a listener expires soon'
const OVER = 'the certificate of a listener has expired'

async function materialFrom(now: number): Promise<TlsMaterial> {
  const authority = await createAuthority('test authority', now)
  const pair = await issueServerCertificate(authority, { names: ['acme.test'], addresses: [] }, now)
  const material = {
    listener: 'public',
    certificates: [pair],
    authorities: [authority.cert],
    trustDomains: [null],
    revocationLists: [],
  }
  return material
}

await test('a certificate that expires within its time is told at once, and then once a day', async t => {
  const log = new LogLines()
  let now = Date.now()
  const clock = { now: () => now, monotonic: () => 0 }
  const expiry = new CertificateExpiry({ clock, logger: log.logger })
  t.teardown(() => expiry.close())
  const issued = now - 350 * DAY_MS
  const material = await materialFrom(issued)
  expiry.update([material], WARNINGS)
  t.same(log.all(SOON), [], 'fifteen days before the end nobody is told')
  now += 1.5 * DAY_MS
  expiry.look()
  expiry.look()
  const [line, ...others] = log.all(SOON)
  t.match(line, { listener: 'public', kind: 'certificate', name: 'acme.test', days: 13 })
  t.match(line?.serial, /^[0-9a-f]{32}$/)
  t.same(others, [], 'once')
  now += 23 * 3_600_000
  expiry.look()
  t.equal(log.all(SOON).length, 1, 'not twice a day')
  now += 3_600_000
  expiry.look()
  t.equal(log.all(SOON).length, 2)
  now += 13 * DAY_MS
  expiry.look()
  t.equal(log.all(OVER).length, 1)
})

await test('what lives for a short time only is told in its last quarter', async t => {
  const log = new LogLines()
  const start = Date.now()
  let now = start
  const expiry = new CertificateExpiry({
    clock: { now: () => now, monotonic: () => 0 },
    logger: log.logger,
  })
  t.teardown(() => expiry.close())
  expiry.update([await materialFrom(start)], new Map([['public', 400 * DAY_MS]]))
  t.same(log.all(SOON), [], 'although a year is less than 400 days')
  now = start + 275 * DAY_MS
  expiry.look()
  t.equal(log.all(SOON).length, 1)
})

await test('the metric tells every end, soonest first, and no more than 200', async t => {
  const now = Date.now()
  const metrics = new TlsMetrics({ now: () => now })
  const expiries = Array.from({ length: 1_000 }, (_, index) => ({
    listener: 'public',
    kind: 'authority' as const,
    name: `ca-${index}`,
    serial: String(index),
    at: now + (1_000 - index) * 1_000,
  }))
  metrics.expiries = expiries
  const reader = metrics.readers().find(({ name }) => name === 'amt_certificate_expiry_seconds')
  const samples = reader?.read() ?? []
  t.equal(samples.length, 200)
  t.same(samples[0], {
    labels: { listener: 'public', kind: 'authority', name: 'ca-999', serial: '999' },
    value: 1,
  })
})
