import { test } from 'tap'
import { usageTable } from '../../../../src/cli/usage/table.ts'
import type { UsageAnswer } from '../../../../src/contracts/usage-query.ts'
import { noUsage } from '../../../../src/contracts/usage-report.ts'

const ZERO = noUsage()
const TODAY = { from: '2026-11-22T00:00:00.000Z', to: '2026-11-23T00:00:00.000Z' }

await test('numbers stand right, exact and with separators, above their total', async t => {
  const usage: UsageAnswer = {
    ...TODAY,
    tenant: null,
    by: ['hour', 'tenant'],
    totals: { ...ZERO, calls: 1_234_567, egress: '9223372036854775808' },
    next: null,
    windows: [
      { ...ZERO, window: '2026-11-22T13:00:00.000Z', tenant: 'acme', calls: 1_234_000 },
      {
        ...ZERO,
        window: '2026-11-22T14:00:00.000Z',
        tenant: 'globex',
        calls: 567,
        egress: '9223372036854775808',
      },
    ],
  }
  t.equal(
    usageTable(usage),
    [
      'Usage of all tenants from 2026-11-22 00:00 to 2026-11-23 00:00 UTC',
      '',
      'hour (UTC)        tenant      calls  ingress bytes               egress bytes  connections  connection time ms  call time ms',
      '2026-11-22 13:00  acme    1,234,000              0                          0            0                   0             0',
      '2026-11-22 14:00  globex        567              0  9,223,372,036,854,775,808            0                   0             0',
      'total                     1,234,567              0  9,223,372,036,854,775,808            0                   0             0',
      '',
    ].join('\n'),
  )
})

await test('messages have a column each where there are any', async t => {
  const window = { ...ZERO, calls: 2, responseMessages: 1_500 }
  const usage: UsageAnswer = {
    ...TODAY,
    tenant: 'acme',
    by: ['code'],
    totals: window,
    windows: [{ ...window, code: 'grpc-0' }],
    next: null,
  }
  t.match(usageTable(usage), /  response messages\ngrpc-0 .*  1,500\ntotal .*  1,500\n$/)
  t.notMatch(usageTable(usage), 'request messages')
})

await test('no usage is a sentence', async t => {
  const usage: UsageAnswer = {
    ...TODAY,
    tenant: 'acme',
    by: ['tenant'],
    totals: ZERO,
    windows: [],
    next: null,
  }
  t.equal(
    usageTable(usage),
    'Usage of tenant acme from 2026-11-22 00:00 to 2026-11-23 00:00 UTC: none\n',
  )
})

await test('control characters in a name do not reach the terminal', async t => {
  const windows = [{ ...ZERO, operation: '\u001b[2Jgone' }]
  const table = usageTable({
    ...TODAY,
    tenant: 'acme',
    by: ['operation'],
    totals: ZERO,
    windows,
    next: null,
  })
  t.match(table, '?[2Jgone')
  t.notMatch(table, '\u001b')
})
