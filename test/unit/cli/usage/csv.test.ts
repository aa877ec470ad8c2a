import { test } from 'tap'
import { csvHead, csvRows } from '../../../../src/cli/usage/csv.ts'
import { wholeUsage } from '../../../../src/cli/usage/pages.ts'
import type { UsageAnswer, UsageQuery } from '../../../../src/contracts/usage-query.ts'
import { noUsage } from '../../../../src/contracts/usage-report.ts'

const ZERO = noUsage()
const RANGE = { from: '2026-11-22T00:00:00.000Z', to: '2026-11-23T00:00:00.000Z', tenant: null }

await test('CSV has a head, exact numbers, quotes where they are needed, and CRLF', t => {
  const usage: UsageAnswer = {
    ...RANGE,
    by: ['hour', 'operation'],
    totals: ZERO,
    next: null,
    windows: [
      { ...ZERO, window: '2026-11-22T13:00:00.000Z', operation: 'read "all", fast' },
      {
        ...ZERO,
        window: '2026-11-22T14:00:00.000Z',
        operation: 'ä',
        egress: '9223372036854775808',
        responseMessages: 7,
      },
    ],
  }
  t.equal(
    csvHead(usage.by) + csvRows(usage),
    [
      'hour,operation,calls,ingress,egress,connections,connectionMs,callMs,requestMessages,responseMessages',
      '2026-11-22T13:00:00.000Z,"read ""all"", fast",0,0,0,0,0,0,0,0',
      '2026-11-22T14:00:00.000Z,ä,0,0,9223372036854775808,0,0,0,0,7',
      '',
    ].join('\r\n'),
  )
  t.end()
})

await test('pages become one answer, whose totals are the sums of its windows', async t => {
  const asked: UsageQuery[] = []
  const page = (calls: number | string, next: string | null): UsageAnswer => ({
    ...RANGE,
    by: ['tenant'],
    totals: { ...ZERO, calls },
    next,
    windows: [{ ...ZERO, tenant: `t${asked.length}`, calls }],
  })
  const pages = [page(Number.MAX_SAFE_INTEGER, 'a'), page('9007199254740993', 'b'), page(1, null)]
  const whole = await wholeUsage(
    {
      usage: async query => {
        asked.push(query)
        return { ok: true, usage: pages[asked.length - 1] as UsageAnswer }
      },
    },
    { tenant: 'acme' },
  )
  t.match(whole, { usage: { totals: { calls: '18014398509481985' }, next: null } })
  t.equal(whole.ok && whole.usage.windows.length, 3)
  t.same(
    asked.map(({ cursor }) => cursor),
    [undefined, 'a', 'b'],
  )
  const failure = { ok: false, reason: 'unreachable', detail: 'away' } as const
  t.equal(await wholeUsage({ usage: async () => failure }, {}), failure)
})
