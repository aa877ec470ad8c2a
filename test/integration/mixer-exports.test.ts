import { test } from 'tap'
import type { ExportsAnswer } from '../../src/contracts/export-status.ts'
import { createMixerClient } from '../../src/runtime/mixer-client.ts'
import { runAmt } from '../support/amt.ts'
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

await test('amt exports shows what waits, and takes decisions', async t => {
  const sink = await startSinkServer(t)
  sink.refuses = ({ tenant }) => tenant === 'globex'
  const config = exportConfig({
    kind: 'cloudevents',
    url: sink.url,
    metrics: ['calls'],
    since: new Date(START - HOUR).toISOString(),
  })
  const mixer = await startMixer(t, { exports: [config], now: () => START + 2 * HOUR })
  const env = { AMT_MIXER_URL: mixer.url, AMT_MIXER_TOKEN: TOKEN }
  const exports = async (...args: string[]): ReturnType<typeof runAmt> =>
    runAmt(['exports', ...args], { env })
  const client = createMixerClient({ url: mixer.url, token: TOKEN })
  t.teardown(() => client.close())
  const window = START - 30 * MINUTE
  await client.report(
    report(1, [record({ window, calls: 1_234 }), record({ tenant: 'globex', window })]),
  )
  await mixer.close()
  const later = await startMixer(t, {
    exports: [config],
    ledger: mixer.ledger,
    port: mixer.port,
    // The mark of the late report is due, and what was closed before is looked at again.
    now: () => START + 2 * HOUR + 10 * MINUTE,
  })
  t.equal(later.url, mixer.url)
  const shown = await readUntil(
    () => exports(),
    ({ stdout }) => stdout.includes('globex'),
  )
  t.match(shown, { code: 0, stderr: '' })
  t.match(
    shown.stdout,
    /^export +kind +closed until \(UTC\) +pending +refused +expired +uncertain\nbilling +cloudevents +2026-11-22 14:00 +0 +1 +0 +0\n/,
  )
  t.match(
    shown.stdout,
    /^2026-11-22 11:00 +billing +globex +calls +1 +refused +[0-9a-f-]{36} +answered 400: .* 1$/m,
  )
  const acknowledged = await exports('--state', 'acknowledged', '--json')
  t.match(JSON.parse(acknowledged.stdout), {
    items: [{ tenant: 'acme', value: 1_234 }],
    more: false,
  })
  const [, id = ''] = /([0-9a-f-]{36})/.exec(shown.stdout) ?? []
  t.match(await exports('--export', 'billing', '--acknowledge', '--id', id), {
    code: 0,
    stdout: '1 items are acknowledged\n',
  })
  t.match(await exports('--export', 'billing', '--retry'), {
    code: 0,
    stdout: '0 items will be sent again\n',
  })
  for (const [args, complaint] of [
    [['--retry'], /name the export with --export/],
    [['--acknowledge', '--export', 'billing'], /name the items with --id/],
    [['--retry', '--acknowledge', '--export', 'billing'], /only one of/],
    [['--id', id], /goes with/],
    [['--limit', '0'], /from 1 to 1000/],
    [['--state', 'lost'], /Allowed choices/],
    [['--retry', '--export', 'billing', '--id', 'x'], /ids\.0/],
  ] as const)
    t.match(await exports(...args), { code: 2, stderr: complaint }, args.join(' '))
  await later.close()
  t.match(await exports(), { code: 1, stderr: /^amt exports: the mixer cannot be reached/ })
})
