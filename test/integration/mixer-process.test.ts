import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { type Test, test } from 'tap'
import { createMixerClient } from '../../src/runtime/mixer-client.ts'
import { AMT, runAmt } from '../support/amt.ts'
import { record, report } from '../support/ledger/reports.ts'
import { TOKEN } from '../support/start-mixer.ts'

function writeConfig(t: Test, mixer: string): string {
  const file = join(t.testdir({}), 'amt.yaml')
  writeFileSync(
    file,
    `listeners: [ { name: public, mode: shared, address: "127.0.0.1:0" } ]\nmixer: { ${mixer}, token: ${TOKEN} }\n`,
  )
  return file
}

interface Running {
  readonly child: ChildProcess
  readonly url: string
  /** Everything on stdout, once it has ended. */
  readonly output: Promise<string>
}

/** `amt mixer` as its own process, ready. */
async function start(t: Test, config: string): Promise<Running> {
  const child = spawn(AMT, ['mixer', '--config', config], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const output = text(child.stdout)
  for await (const line of createInterface({ input: child.stdout })) {
    const { msg, port } = JSON.parse(line) as { msg: string; port: number }
    if (msg === 'mixer is ready') return { child, url: `http://127.0.0.1:${port}`, output }
  }
  throw new Error('the mixer has ended')
}

async function stop({ child }: Running, signal: NodeJS.Signals): Promise<unknown[]> {
  const exited = once(child, 'exit')
  child.kill(signal)
  return exited
}

await test('the mixer says once that it is ready, and a signal ends it in good order', async t => {
  const config = writeConfig(t, 'listen: "127.0.0.1:0"')
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const running = await start(t, config)
    t.same(await stop(running, signal), [0, null], signal)
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
    writeConfig(t, `listen: "127.0.0.1:${port}"`),
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
    writeConfig(t, 'url: nowhere, jurnal: x'),
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
    const config = writeConfig(t, mixer)
    writeFileSync(config, `${more}\n`, { flag: 'a' })
    const result = await runAmt(['mixer', '--config', config])
    t.equal(result.code, 1, mixer + more)
    t.match(result.stderr, stderr)
  }
})

await test('kill -9 while reports come in neither loses nor doubles one', async t => {
  const config = writeConfig(t, 'listen: "127.0.0.1:0"')
  let sequence = 1
  for (const kills of [1, 2, 3]) {
    const running = await start(t, config)
    const client = createMixerClient({ url: running.url, token: TOKEN })
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
  const running = await start(t, config)
  const client = createMixerClient({ url: running.url, token: TOKEN })
  t.same(await client.report(report(sequence, [record({ window: 0 })])), {
    ok: true,
    durable: sequence,
  })
  t.match(await client.usage({ from: 0 }), {
    usage: { totals: { calls: sequence, egress: sequence * 2_000 } },
  })
  await client.close()
  t.same(await stop(running, 'SIGTERM'), [0, null])
})

await test('amt usage reads the ledger, for people and for programs', async t => {
  const running = await start(t, writeConfig(t, 'listen: "127.0.0.1:0"'))
  const client = createMixerClient({ url: running.url, token: TOKEN })
  await client.report(
    report(1, [record({ window: 0, calls: 1_234 }), record({ window: 0, tenant: 'globex' })]),
  )
  await client.close()
  const env = { AMT_MIXER_URL: running.url, AMT_MIXER_TOKEN: TOKEN }
  const table = await runAmt(['usage', '--from', '1970-01-01'], { env })
  t.equal(table.code, 0)
  t.match(table.stdout, /^tenant +calls .*\nacme +1,234 .*\nglobex +1 .*\ntotal +1,235 /m)
  const json = await runAmt(
    ['usage', '--json', '--from', '0', '--tenant', 'acme', '--by', 'operation,tenant'],
    { env },
  )
  const windows = [{ operation: 'read-order', tenant: 'acme', calls: 1_234 }]
  t.match(JSON.parse(json.stdout), {
    tenant: 'acme',
    by: ['operation', 'tenant'],
    totals: { calls: 1_234 },
    windows,
  })
  t.match((await runAmt(['usage', '--from', '-1h'], { env })).stdout, /: none\n$/)
  await stop(running, 'SIGTERM')
})

await test('amt usage says in one line why it cannot answer', async t => {
  const config = writeConfig(t, 'listen: "127.0.0.1:0"')
  const running = await start(t, config)
  const nowhere = dirname(config)
  const AMT_MIXER_URL = running.url
  const cases: readonly {
    name: string
    args?: string[]
    env?: NodeJS.ProcessEnv
    code: number
    stderr: RegExp
  }[] = [
    {
      name: 'another token',
      env: { AMT_MIXER_URL, AMT_MIXER_TOKEN: 'wrong' },
      code: 1,
      stderr: /^amt usage: the mixer refused: .*\n$/,
    },
    {
      name: 'a wrong time',
      args: ['--from', 'soon'],
      code: 2,
      stderr: /must be a time such as today/,
    },
    {
      name: 'a time that is none',
      args: ['--from', '2026-02-31'],
      env: { AMT_MIXER_URL, AMT_MIXER_TOKEN: TOKEN },
      code: 2,
      stderr: /^amt usage: from: must be a time .*\n$/,
    },
    {
      name: 'a wrong grouping',
      args: ['--by', 'price'],
      code: 2,
      stderr: /must be of minute, hour/,
    },
    { name: 'no mixer named', code: 2, stderr: /^amt usage: name the mixer: .*\n$/ },
    {
      name: 'no URL',
      env: { AMT_MIXER_URL: 'mixer', AMT_MIXER_TOKEN: TOKEN },
      code: 2,
      stderr: /^amt usage: AMT_MIXER_URL must be .*\n$/,
    },
    {
      name: 'a wrong configuration',
      args: ['--config', 'missing.yaml'],
      code: 2,
      stderr: /missing\.yaml/,
    },
  ]
  const unset = { AMT_MIXER_URL: '', AMT_MIXER_TOKEN: '', AMT_STATE: '' }
  const results = await Promise.all(
    cases.map(({ args = [], env }) =>
      runAmt(['usage', ...args], { cwd: nowhere, env: { ...unset, ...env } }),
    ),
  )
  for (const [index, { name, code, stderr }] of cases.entries()) {
    t.equal(results[index]?.code, code, name)
    t.match(results[index]?.stderr, stderr, name)
  }
  await stop(running, 'SIGTERM')
  const env = { AMT_MIXER_URL, AMT_MIXER_TOKEN: TOKEN }
  const { code, stderr } = await runAmt(['usage'], { env })
  t.equal(code, 1)
  t.match(
    stderr,
    /^amt usage: the mixer cannot be reached at 127\.0\.0\.1:\d+: connect ECONNREFUSED.*\n$/,
  )
})
