/** The metrics of a proxy with 100,000 tenants: a scrape asks no worker, not even one that could not answer. */
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { t, test } from 'tap'
import { childrenOf, cpuSeconds } from '../../bench/harness/process-stat.ts'
import { FIT_FOR_TESTS, launchPart, readUntil, readyLine } from '../support/running-amt.ts'

t.setTimeout(240_000)

const TENANTS = 100_000
const SCRAPES = 100
const MAX_BODY_BYTES = 64 * 1024
/** So many tenants take four seconds where nobody else works. */
const PATIENCE_MS = 120_000
const skip = process.platform === 'linux' ? false : 'processes are looked at through /proc of Linux'

await test('scraping 100,000 tenants takes no time from the worker, which may as well stand still', {
  skip,
}, async t => {
  const folder = t.testdir()
  const lines = Array.from({ length: TENANTS }, (_, index) =>
    JSON.stringify({
      id: `tenant-${index}`,
      hosts: [`tenant-${index}.example.com`],
      deployment: { endpoints: ['http://127.0.0.1:9'] },
    }),
  )
  await writeFile(join(folder, 'tenants.jsonl'), `${lines.join('\n')}\n`)
  const proxy = await launchPart(t, 'proxy', folder, {
    ...FIT_FOR_TESTS,
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    tenantSources: [{ file: 'tenants.jsonl' }],
    mixer: {
      token: randomBytes(32).toString('hex'),
      journal: 'journal',
      url: 'http://127.0.0.1:9',
    },
    workers: 1,
  })
  const { admin, tenants } = await readyLine(proxy, PATIENCE_MS)
  t.equal(tenants, TENANTS)
  const scrape = async (): Promise<string> =>
    (await fetch(`http://${String(admin)}/metrics`)).text()
  // It has reported a first time.
  const lag = /^amt_event_loop_lag_seconds\{worker="1"\}/m
  const first = await readUntil(scrape, body => lag.test(body))
  t.match(first, /^amt_tenants 100000$/m)
  const workers = childrenOf(proxy.pid as number)
  t.equal(workers.length, 1)
  for (const pid of workers) process.kill(pid, 'SIGSTOP')
  try {
    await scrape()
    // By now it has stopped.
    const before = cpuSeconds(workers)
    const times: number[] = []
    let longest = 0
    for (let count = 0; count < SCRAPES; count += 1) {
      const started = performance.now()
      longest = Math.max(longest, (await scrape()).length)
      times.push(performance.now() - started)
    }
    times.sort((a, b) => a - b)
    t.comment(
      `${SCRAPES} scrapes: ${times[SCRAPES / 2]?.toFixed(1)} ms in the middle, ${longest} bytes at most`,
    )
    t.ok(longest < MAX_BODY_BYTES, `${longest} bytes`)
    t.equal(cpuSeconds(workers), before, 'the worker has done nothing')
  } finally {
    for (const pid of workers) process.kill(pid, 'SIGCONT')
  }
  t.equal(await proxy.stop(), 0, 'and ends in good order')
})
