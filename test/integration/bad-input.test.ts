/**
 * What the machine does to a proxy: a state folder that cannot be written or vanishes, a clock that jumps, too few descriptors,
 * an address that goes away, DNS that fails. Each is a clear error and a metric, and nothing else is disturbed. Admin calls
 * that are malformed or unauthorised are in `admin-access.test.ts`.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { t as root, test } from 'tap'
import type { NameLookup } from '../../src/runtime/names/dns-lookup.ts'
import { AMT, asAtShell } from '../support/amt.ts'
import { LogLines } from '../support/log-lines.ts'
import { answering } from '../support/manual-deployment.ts'
import { NetworkNamespace, WITHOUT_NAMESPACES } from '../support/network-namespace.ts'
import { Program } from '../support/program.ts'
import { codeOf, get, ok, proxyTest, readAnswer, tenant } from '../support/proxy-lab.ts'
import { FIT_FOR_TESTS, MIXER, readUntil } from '../support/running-amt.ts'
import { StartedPrimary } from '../support/start-primary.ts'

// Whole programs on a machine that may be busy.
root.setTimeout(180_000)

/** For whole programs on a machine that may be busy. */
const PATIENCE_MS = 60_000
const OF_OTHER = 'GET / HTTP/1.1\r\nhost: other.test\r\n\r\n'

function settings(more: Record<string, unknown>): string {
  return JSON.stringify({
    ...FIT_FOR_TESTS,
    workers: 1,
    mixer: { ...MIXER, url: 'http://127.0.0.1:9' },
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    ...more,
  })
}

await test('a state folder that cannot be written is said at the start, and nothing is started', async t => {
  // Not even root can make a folder there.
  const journal = '/sys/amt-journal'
  const primary = new StartedPrimary(t, {
    config: { mixer: { url: 'http://127.0.0.1:9', token: MIXER.token, journal } },
  })
  t.same(await primary.ended, { exitCode: 1 })
  t.match(await primary.log.first('cannot start'), {
    level: 'error',
    problem: /^mixer\.journal: .*\/sys\/amt-journal/,
  })
})

await proxyTest(
  'a vanished state folder: calls go on, usage is written anew, and the log says so',
  async (t, lab) => {
    const log = new LogLines()
    const deployment = await lab.deployment({ serve: answering(ok('ok')) })
    const proxy = await lab.proxy({ tenants: [tenant('acme', deployment)] }, { logger: log.logger })
    const client = await lab.client(proxy)
    await client.send(get())
    t.equal((await readAnswer(client)).status, 200)
    t.ok(existsSync(proxy.journal))
    rmSync(proxy.journal, { recursive: true })
    await client.send(get())
    t.equal((await readAnswer(client)).status, 200)
    proxy.worker.reportNow()
    t.match(log.all('somebody has removed the journal; it is written anew'), [{ level: 'error' }])
    await client.send(get())
    t.equal((await readAnswer(client)).status, 200)
    t.ok(existsSync(proxy.journal), 'the folder is there again')
    t.equal(proxy.totals().calls, 3, 'all are counted')
  },
)

await proxyTest(
  'clock jumps: no call, no connection and no count is lost, and limits stay as they are',
  async (t, lab) => {
    let jumped = 0
    const clock = { now: () => Date.now() + jumped, monotonic: () => performance.now() }
    const deployment = await lab.deployment({ serve: answering(ok('ok')) })
    const limited = tenant('acme', deployment, { limits: { requests: '1/h', burst: 4 } })
    const proxy = await lab.proxy({ tenants: [limited] }, { clock })
    const client = await lab.client(proxy)
    for (const jump of [0, 86_400_000, -2 * 86_400_000, 3_600_000]) {
      jumped += jump
      // As the worker does it twenty times a second.
      proxy.worker.reportNow()
      await client.send(get())
      t.equal((await readAnswer(client)).status, 200, `a jump of ${jump} ms`)
    }
    await client.send(get())
    const fifth = await readAnswer(client)
    t.equal(codeOf(fifth.body), 'rate_limited', 'a day ahead by the clock gives no new burst')
    const usage = proxy.usage()
    t.equal(
      usage.reduce((sum, { calls }) => sum + calls, 0),
      4,
      'the refused one is none',
    )
    t.ok(
      usage.every(
        ({ connectionMs, callMs }) => connectionMs >= 0 && callMs >= 0 && callMs < 60_000,
      ),
      'durations go by the monotonic clock',
    )
    t.ok(new Set(usage.filter(({ calls }) => calls > 0).map(({ window }) => window)).size >= 3)
  },
)

await test('descriptor limits too low are said at start with the number needed', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'amt-files-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'amt.yaml')
  writeFileSync(file, settings({}))
  const [program, args] = asAtShell('sh', [
    '-c',
    `ulimit -n 200 && exec ${AMT} proxy --config ${file}`,
  ])
  const few = new Program(t, [program, args])
  const line = await few.line(/"msg":"cannot start"/, PATIENCE_MS)
  t.match(JSON.parse(line), {
    problem:
      /^a process may have 200 open files, and a worker needs 257 to serve at all; raise the limit to \d+ or more/,
  })
  t.equal(await few.ended, 1)

  const [, enough] = asAtShell('sh', ['-c', `ulimit -n 1024 && exec ${AMT} proxy --config ${file}`])
  const some = new Program(t, [program, enough])
  const warning = await some.line(/"msg":"too few open files"/, PATIENCE_MS)
  t.match(JSON.parse(warning), {
    level: 'warn',
    problem:
      /^a process may have 1024 open files, and a worker needs 11281 where one tenant is at limits\.connections/,
  })
  const ready = JSON.parse(await some.line(/"msg":"ready"/, PATIENCE_MS)) as { admin: string }
  const metrics = await (await fetch(`http://${ready.admin}/metrics`)).text()
  t.match(metrics, /^amt_open_files_limit 1024$/m)
  t.match(metrics, /^amt_open_files_needed 11281$/m)
  t.equal(await some.stop(), 0, 'it serves all the same')
})

await test('a listener address that goes away: an error and a metric, the other listener serves, and it is back by itself', {
  skip: WITHOUT_NAMESPACES,
}, async t => {
  const network = await NetworkNamespace.create(t)
  await network.ip('addr', 'add', '10.9.0.1/32', 'dev', 'lo')
  const folder = mkdtempSync(join(tmpdir(), 'amt-address-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'amt.yaml')
  const listeners = [
    { name: 'leaving', mode: 'shared', address: '10.9.0.1:8080' },
    { name: 'staying', mode: 'shared', address: '127.0.0.1:8080' },
  ]
  writeFileSync(file, settings({ listeners, admin: { address: '127.0.0.1:9901' } }))
  const proxy = network.program(t, AMT, 'proxy', '--config', file)
  await proxy.line(/"msg":"ready"/, PATIENCE_MS)
  const curl = async (url: string): Promise<string> =>
    String((await network.run('curl', '-s', '--max-time', '5', url)).stdout)
  const missing = async (): Promise<string> => {
    const metrics = await curl('http://127.0.0.1:9901/metrics')
    return /^amt_listener_addresses_missing\{listener="leaving"\} (\d)$/m.exec(metrics)?.[1] ?? ''
  }
  await network.ip('addr', 'del', '10.9.0.1/32', 'dev', 'lo')
  const gone = await proxy.line(
    /"msg":"this machine does not have the address of a listener/,
    PATIENCE_MS,
  )
  t.match(JSON.parse(gone), { level: 'error', listener: 'leaving', addresses: ['10.9.0.1'] })
  t.equal(await readUntil(missing, count => count === '1'), '1')
  t.match(await curl('http://127.0.0.1:8080/'), /about:amt\//, 'the other one serves')
  await network.ip('addr', 'add', '10.9.0.1/32', 'dev', 'lo')
  await proxy.line(/"msg":"the address of a listener is there again"/, PATIENCE_MS)
  t.equal(await readUntil(missing, count => count === '0'), '0')
  t.match(await curl('http://10.9.0.1:8080/'), /about:amt\//)
})

await proxyTest(
  'DNS that fails: an error with the name, a count, and other tenants notice nothing',
  async (t, lab) => {
    const log = new LogLines()
    const lookup: NameLookup = {
      find: async name => (name.startsWith('down') ? { kind: 'down' } : { kind: 'unknown' }),
      close: () => {},
    }
    const deployment = await lab.deployment({ serve: answering(ok('ok')) })
    const named = (id: string, name: string): Record<string, unknown> =>
      tenant(id, deployment, { deployment: { endpoints: [`http://${name}:80`] } })
    const proxy = await lab.proxy(
      {
        tenants: [
          named('acme', 'down.example'),
          named('gone', 'gone.example'),
          tenant('other', deployment),
        ],
      },
      { logger: log.logger, lookup },
    )
    const client = await lab.client(proxy)
    await client.send(get())
    const refused = await readAnswer(client)
    t.match(refused, { status: 503 })
    t.equal(codeOf(refused.body), 'upstream_unresolved')
    await client.send('GET / HTTP/1.1\r\nhost: gone.test\r\n\r\n')
    t.equal(codeOf((await readAnswer(client)).body), 'upstream_unresolved')
    const bystander = await lab.client(proxy)
    await bystander.send(OF_OTHER)
    t.equal((await readAnswer(bystander)).status, 200)
    proxy.worker.reportNow()
    const names = proxy.reports().map(report => report.names)
    t.equal(names.reduce((sum, { down }) => sum + down, 0) >= 1, true)
    t.equal(names.reduce((sum, { unknown }) => sum + unknown, 0) >= 1, true)
    const told = log.lines.filter(({ endpoint }) => endpoint !== undefined)
    t.same(
      told.map(({ level, endpoint }) => [level, endpoint]),
      [
        ['error', 'down.example'],
        ['error', 'gone.example'],
      ],
    )
    t.equal(proxy.rejected('upstream_unresolved'), 2)
  },
)
