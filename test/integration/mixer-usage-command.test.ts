import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'tap'
import { createMixerClient } from '../../src/runtime/mixer-client.ts'
import { runAmt } from '../support/amt.ts'
import { record, report } from '../support/ledger/reports.ts'
import { mixerConfig } from '../support/mixer-process.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'

await test('amt usage reads the ledger, for people and for programs', async t => {
  const { url } = await startMixer(t)
  const client = createMixerClient({ url, token: TOKEN })
  await client.report(
    report(1, [record({ window: 0, calls: 1_234 }), record({ window: 0, tenant: 'globex' })]),
  )
  await client.close()
  const env = { AMT_MIXER_URL: url, AMT_MIXER_TOKEN: TOKEN }
  const table = await runAmt(['usage', '--from', '1970-01-01'], { env })
  t.equal(table.code, 0)
  t.match(table.stdout, /^tenant +calls .*\nacme +1,234 .*\nglobex +1 .*\ntotal +1,235 /m)
  const query = ['--json', '--from', '0', '--tenant', 'acme', '--by', 'operation,tenant']
  const json = await runAmt(['usage', ...query], { env })
  const windows = [{ operation: 'read-order', tenant: 'acme', calls: 1_234 }]
  const by = ['operation', 'tenant']
  t.match(JSON.parse(json.stdout), { tenant: 'acme', by, totals: { calls: 1_234 }, windows })
  t.match((await runAmt(['usage', '--from', '-1h'], { env })).stdout, /: none\n$/)
})

await test('amt usage prints CSV', async t => {
  const { url } = await startMixer(t)
  const client = createMixerClient({ url, token: TOKEN })
  await client.report(report(1, [record({ window: 0, operation: 'a,b' })]))
  await client.close()
  const env = { AMT_MIXER_URL: url, AMT_MIXER_TOKEN: TOKEN }
  const csv = await runAmt(['usage', '--from', '0', '--by', 'tenant,operation', '--csv'], { env })
  const lines = [
    'tenant,operation,calls,ingress,egress,connections,connectionMs,callMs,requestMessages,responseMessages',
    'acme,"a,b",1,100,2000,1,30,20,2,3',
    '',
  ]
  t.same(csv, { code: 0, stderr: '', stdout: lines.join('\r\n') })
  const both = await runAmt(['usage', '--csv', '--json'], { env })
  t.match(both, { code: 2, stderr: /cannot be used with/ })
})

await test('amt usage says in one line why it cannot answer', async t => {
  const { url, close } = await startMixer(t)
  const usage = (args: string[], token: string): ReturnType<typeof runAmt> =>
    runAmt(['usage', ...args], { env: { AMT_MIXER_URL: url, AMT_MIXER_TOKEN: token } })
  const refused = await usage([], 'another-token')
  t.match(refused, { code: 1, stderr: /^amt usage: the mixer refused: .*\n$/ })
  const wrong = await usage(['--from', '2026-02-31'], TOKEN)
  t.match(wrong, { code: 2, stderr: /^amt usage: from: must be a time .*\n$/ })
  t.match(await usage(['--from', 'soon'], TOKEN), {
    code: 2,
    stderr: /must be a time such as today/,
  })
  await close()
  const away = await usage([], TOKEN)
  t.match(away, {
    code: 1,
    stderr: /^amt usage: the mixer cannot be reached at 127\.0\.0\.1:\d+: .*\n$/,
  })
})

await test('amt usage finds the mixer through a configuration', async t => {
  const { url, ledger } = await startMixer(t)
  const cwd = dirname(ledger)
  writeFileSync(join(cwd, 'amt.yaml'), mixerConfig(`url: "${url}"`))
  const found = await runAmt(['usage', '--config', 'amt.yaml'], { cwd })
  t.match(found, { code: 0, stdout: /: none\n$/ })
})
