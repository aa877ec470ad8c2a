/** The benchmark of isolation runs through, and finds what must be so on any machine. */
import { execFile } from 'node:child_process'
import { accessSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { t as root, test } from 'tap'
import type { IsolationResult } from '../../bench/isolation/figures.ts'
import { asAtShell } from '../support/amt.ts'

const MAIN = join(import.meta.dirname, '../../bench/isolation.ts')
const TIMEOUT_MS = 170_000
const QUIET_CALLS = 100

root.setTimeout(TIMEOUT_MS + 10_000)

function missing(): string | false {
  if (availableParallelism() < 2) return 'needs two CPUs'
  const absent = ['/usr/sbin/nginx', '/usr/bin/taskset'].filter(path => {
    try {
      accessSync(path)
      return false
    } catch {
      return true
    }
  })
  return absent.length > 0 && `${absent.join(' and ')} not installed`
}

await test('npm run bench:isolation, with AMT alone and little time', {
  skip: missing(),
}, async t => {
  const json = join(t.testdir(), 'figures.json')
  const args = [MAIN, '--peer', 'amt', '--seconds', '1', '--rounds', '1', '--json', json]
  const [program, shellArgs] = asAtShell(process.execPath, args)
  const running = promisify(execFile)(program, shellArgs, { timeout: TIMEOUT_MS })
  // On a machine with others the latency need not be good enough: exit code 1.
  const { stdout } = await running.catch((error: { stdout: string }) => error)
  const { figures } = JSON.parse(readFileSync(json, 'utf8')) as IsolationResult
  const of = (name: string): IsolationResult['figures'][number] | undefined =>
    figures.find(({ scenario }) => scenario === name)
  for (const { scenario, calls, failed, errors } of figures) {
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
