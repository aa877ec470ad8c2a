import { test } from 'tap'
import type { ExportsAnswer } from '../../src/contracts/export-status.ts'
import { exportConfig, HOUR, MINUTE, START } from '../support/exports/export-lab.ts'
import { startSinkServer } from '../support/exports/sink-server.ts'
import { record, report } from '../support/ledger/reports.ts'
import { readUntil } from '../support/running-amt.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'

const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' }

await test('a mixer exports what is reported to it, shows it, and takes decisions', async t => {
  const sink = await startSinkServer(t)
  sink.refuses = () => true
  const config = exportConfig({
    kind: 'cloudevents',
    url: sink.url,
    metrics: ['calls'],
    since: new Date(START - HOUR).toISOString(),
  })
  const { url, close, ledger } = await startMixer(t, { exports: [config], now: () => START })
  const post = async (path: string, body: object): Promise<Response> =>
    fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  const status = async (query = ''): Promise<ExportsAnswer> =>
    (await fetch(`${url}/v1/exports${query}`, { headers })).json()
  t.equal((await fetch(`${url}/v1/exports`)).status, 401)
  const first = await readUntil(
    () => status(),
    ({ exports }) => exports[0]?.plannedUntil !== undefined,
  )
  t.match(first, {
    exports: [{ name: 'billing', kind: 'cloudevents', configured: true, pending: { items: 0 } }],
    items: [],
    more: false,
  })
  await post(
    '/v1/report',
    report(1, [
      record({ window: START - 30 * MINUTE }),
      record({ tenant: 'globex', window: START - 30 * MINUTE }),
    ]),
  )
  await close()

  // Later that day.
  const later = await startMixer(t, { exports: [config], ledger, now: () => START + 3 * HOUR })
  const of = async (query = ''): Promise<ExportsAnswer> =>
    (await fetch(`${later.url}/v1/exports${query}`, { headers })).json()
  const refused = await readUntil(
    () => of(),
    ({ exports }) => exports[0]?.refused.items === 2,
  )
  t.match(refused, {
    exports: [{ refused: { items: 2, oldest: '2026-11-22T11:00:00.000Z' } }],
    items: [
      {
        export: 'billing',
        tenant: 'acme',
        metric: 'calls',
        value: 1,
        state: 'refused',
        attempts: 1,
        reason: /400/,
      },
      { tenant: 'globex' },
    ],
  })
  t.match(await of('?limit=1'), { items: [{ tenant: 'acme' }], more: true })
  t.match(await of('?tenant=globex&state=refused&export=billing&window=2026-11-22T11:00:00Z'), {
    items: [{ tenant: 'globex' }],
    more: false,
  })
  t.match(await of('?state=acknowledged'), { items: [] })
  for (const query of [
    '?state=x',
    '?limit=0',
    '?limit=2000',
    '?tenant=A',
    '?window=soon',
    '?other=1',
    '?export=a&export=b',
  ])
    t.equal((await fetch(`${later.url}/v1/exports${query}`, { headers })).status, 400, query)

  const decide = async (body: object): Promise<unknown> =>
    (
      await fetch(`${later.url}/v1/exports`, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
      })
    ).json()
  const [acme] = refused.items
  t.same(await decide({ export: 'billing', ids: [acme?.id], as: 'acknowledged' }), { changed: 1 })
  t.same(
    await decide({ export: 'billing', ids: [acme?.id], as: 'pending' }),
    { changed: 0 },
    'what is acknowledged stays so',
  )
  t.same(await decide({ export: 'billing', as: 'pending' }), { changed: 1 })
  t.same(await decide({ export: 'unknown', as: 'pending' }), { changed: 0 })
  t.match(await decide({ export: 'billing', as: 'refused' }), { status: 400 })
  t.match(await of('?state=acknowledged'), { items: [{ tenant: 'acme', settledAt: /^2026/ }] })
  t.match(await of('?state=pending'), { items: [{ tenant: 'globex', attempts: 0 }] })
})
