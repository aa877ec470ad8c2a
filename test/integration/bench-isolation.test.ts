/** The benchmark of isolation runs through, and finds what must be so on any machine. */
import { execFile } from 'node:child_process'
import { accessSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { t as root, test } from 'tap'
import type { IsolationResult } from '../../bench/isolation/figures.ts'
import { MEMORY_FIGURES } from '../../bench/isolation/memory-watch.ts'
import { SCENARIOS } from '../../bench/isolation/scenarios.ts'
import type { SoakResult } from '../../bench/isolation/soak.ts'
import type { Growth } from '../../bench/isolation/soak-figures.ts'
import { asAtShell } from '../support/amt.ts'

const MAIN = join(import.meta.dirname, '../../bench/isolation.ts')
const TIMEOUT_MS = 170_000
const QUIET_CALLS = 100

root.setTimeout(TIMEOUT_MS + 10_000)

function missing(...more: string[]): string | false {
  if (availableParallelism() < 2) return 'needs two CPUs'
  const absent = ['/usr/sbin/nginx', '/usr/bin/taskset', ...more].filter(path => {
    try {
      accessSync(path)
      return false
    } catch {
      return true
    }
  })
  return absent.length > 0 && `${absent.join(' and ')} not installed`
}

type SoakFile = SoakResult & { readonly growth: readonly Growth[] }

type Figures = IsolationResult['figures'][number]

/** A short run, with its table. On a machine with others the latency need not be good enough: the exit code says nothing. */
async function runShort(
  json: string,
  more: readonly string[],
): Promise<{ stdout: string; result: IsolationResult }> {
  const args = [MAIN, '--seconds', '1', '--rounds', '1', '--json', json, ...more]
  const [program, shellArgs] = asAtShell(process.execPath, args)
  const running = promisify(execFile)(program, shellArgs, { timeout: TIMEOUT_MS })
  const { stdout } = await running.catch((error: { stdout: string }) => error)
  return { stdout, result: JSON.parse(readFileSync(json, 'utf8')) as IsolationResult }
}

await test('npm run bench:isolation, with AMT alone and little time', {
  skip: missing(),
}, async t => {
  const json = join(t.testdir(), 'figures.json')
  const { stdout, result } = await runShort(json, ['--peer', 'amt'])
  const of = (name: string): Figures | undefined =>
    result.figures.find(({ scenario }) => scenario === name)
  for (const { scenario, calls, failed, errors } of result.figures) {
    t.equal(calls + failed, QUIET_CALLS, `${scenario}: each call has an end`)
    t.equal(failed, 0, `${scenario}: ${JSON.stringify(errors)}`)
  }
  t.ok(of('flood')?.noise['429'], 'a flood is limited')
  t.ok(of('slow-reads')?.noise['503'], 'slow readers are limited in number')
  t.ok(of('uploads')?.noise['bytes'], 'uploads move')
  t.ok(of('new-tls')?.noise['closed'], 'handshakes are limited')
  t.ok(of('bad-tokens')?.noise['401'], 'tokens are refused')
  t.ok(of('hung')?.noise['503'], 'calls that hang are limited in number')
  t.match(stdout, /\| flood +\| amt +\|/, 'a row of the table')
})

await test('HAProxy does the same work', { skip: missing('/usr/sbin/haproxy') }, async t => {
  const json = join(t.testdir(), 'figures.json')
  const options = ['--peer', 'haproxy', '--scenario', 'flood', 'bad-tokens']
  const { figures, absent } = (await runShort(json, options)).result
  t.same(absent, {})
  const rows = figures.filter(({ peer }) => peer === 'haproxy')
  t.same(
    rows.map(({ scenario, failed }) => ({ scenario, failed })),
    ['alone', 'flood', 'bad-tokens'].map(scenario => ({ scenario, failed: 0 })),
  )
  t.ok(rows[1]?.noise['200'], 'a tenant that floods has what it may')
  t.ok(rows[1]?.noise['429'], 'and no more')
  t.ok(rows[2]?.noise['401'], 'tokens are refused')
  t.notOk(rows[2]?.noise['200'], 'each of them')
})

await test('--soak makes all noise at once, and looks at memory', { skip: missing() }, async t => {
  const json = join(t.testdir(), 'soak.json')
  const [program, args] = asAtShell(process.execPath, [MAIN, '--soak', '6s', '--json', json])
  const running = promisify(execFile)(program, args, { timeout: TIMEOUT_MS })
  // In so short a time memory is not flat yet.
  const { stdout } = await running.catch((error: { stdout: string }) => error)
  const { steps, noise, growth } = JSON.parse(readFileSync(json, 'utf8')) as SoakFile
  t.ok(steps.length >= 3)
  for (const { memory, restarts, quiet } of steps) {
    t.ok(memory['worker resident'] > 0 && memory['primary heap'] > 0 && memory['worker files'] > 0)
    t.equal(restarts, 0)
    t.same(quiet.errors, {})
  }
  t.same(
    Object.keys(noise).toSorted(),
    SCENARIOS.filter(({ noise }) => noise)
      .map(({ name }) => name)
      .toSorted(),
  )
  t.equal(growth.length, MEMORY_FIGURES.length)
  t.match(stdout, /\| flat \|/)
})
