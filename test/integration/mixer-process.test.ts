import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'tap'
import { createMixerClient } from '../../src/runtime/mixer-client.ts'
import { runAmt } from '../support/amt.ts'
import { record, report } from '../support/ledger/reports.ts'
import { startMixerProcess, stopMixerProcess, writeMixerConfig } from '../support/mixer-process.ts'
import { TOKEN } from '../support/start-mixer.ts'

await test('the mixer says once that it is ready, and a signal ends it in good order', async t => {
  const config = writeMixerConfig(t, 'listen: "127.0.0.1:0"')
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const running = await startMixerProcess(t, config)
    t.same(await stopMixerProcess(running, signal), [0, null], signal)
    t.equal((await running.output).match(/mixer is ready/g)?.length, 1)
  }
})

await test('a port in use ends the mixer with one line that names it', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const { code, stderr } = await runAmt([
    'mixer',
    '--config',
    writeMixerConfig(t, `listen: "127.0.0.1:${port}"`),
  ])
  t.equal(code, 1)
  t.match(
    stderr,
    new RegExp(`^amt mixer: 127\\.0\\.0\\.1:${port}: the address is already in use.*\\n$`),
  )
})

await test('a wrong configuration ends the mixer with all problems', async t => {
  const { code, stderr } = await runAmt([
    'mixer',
    '--config',
    writeMixerConfig(t, 'url: nowhere, jurnal: x'),
  ])
  t.equal(code, 2)
  t.match(stderr, /amt\.yaml:2:\d+: mixer\.url: /)
  t.match(stderr, /amt\.yaml:2:\d+: mixer\.jurnal: /)
  t.equal((await runAmt(['mixer'])).code, 2)
})

await test('an address or a ledger that cannot be had ends the mixer with one line', async t => {
  const cases: readonly { mixer: string; more?: string; stderr: RegExp }[] = [
    {
      mixer: 'url: "https://mixer.example.com"',
      stderr: /^amt mixer: `listen` must name an address.*\n$/,
    },
    {
      mixer: 'listen: "127.0.0.1:0"',
      more: 'ledger: "sqlite:amt.yaml"',
      stderr: /^amt mixer: cannot open the ledger .*amt\.yaml: file is not a database\n$/,
    },
  ]
  for (const { mixer, more = '', stderr } of cases) {
    const config = writeMixerConfig(t, mixer)
    writeFileSync(config, `${more}\n`, { flag: 'a' })
    const result = await runAmt(['mixer', '--config', config])
    t.equal(result.code, 1, mixer + more)
    t.match(result.stderr, stderr)
  }
})

await test('kill -9 while reports come in neither loses nor doubles one', async t => {
  const config = writeMixerConfig(t, 'listen: "127.0.0.1:0"')
  let sequence = 1
  for (const kills of [1, 2]) {
    const running = await startMixerProcess(t, config)
    const client = createMixerClient({ url: running.url, token: TOKEN })
    t.match(await client.announce({ proxy: 'proxy-1', producers: ['p1'] }), { ok: true })
    const until = sequence + 5 * kills
    for (;;) {
      // What was not acknowledged is sent again, as a proxy does it.
      const result = await client.report(report(sequence, [record({ window: 0 })]))
      if (!result.ok) break
      sequence += 1
      if (sequence === until) running.child.kill('SIGKILL')
    }
    t.ok(sequence >= until)
    await client.close()
  }
  const running = await startMixerProcess(t, config)
  const client = createMixerClient({ url: running.url, token: TOKEN })
  t.match(await client.report(report(sequence, [record({ window: 0 })])), {
    ok: true,
    durable: sequence,
  })
  t.match(await client.usage({ from: 0 }), {
    usage: { totals: { calls: sequence, egress: sequence * 2_000 } },
  })
  await client.close()
  t.same(await stopMixerProcess(running, 'SIGTERM'), [0, null])
})
