/** The benchmark of the number of tenants runs through, with ten tenants to compare with, and finds what it must find at any size. */
import { execFile } from 'node:child_process'
import { accessSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { t as root, test } from 'tap'

const MAIN = join(import.meta.dirname, '../../bench/scale.ts')
/** What stands in each row, in ms: far from the figures of a quiet machine. */
const LONGEST_CHANGE_MS = 10_000
const TIMEOUT_MS = 180_000

root.setTimeout(TIMEOUT_MS)

function missing(): string | false {
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

interface Figures {
  readonly tenants: number
  readonly startSeconds: number
  readonly lineMs: { readonly max: number }
  readonly fileMs: { readonly max: number }
  readonly cpuMicros: { readonly median: number }
}

await test('npm run bench:scale, with few tenants and little time', {
  skip: missing(),
}, async t => {
  const json = join(t.testdir(), 'figures.json')
  const options = [
    '--changes=1',
    '--pairs=1',
    '--rounds=1',
    '--seconds=1',
    '--calls=5',
    `--json=${json}`,
  ]
  const args = [MAIN, '--tenants', '1000', ...options]
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: TIMEOUT_MS })
  const { figures } = JSON.parse(readFileSync(json, 'utf8')) as { figures: Figures[] }
  t.same(
    figures.map(({ tenants }) => tenants),
    [1_000],
  )
  for (const { startSeconds, lineMs, fileMs, cpuMicros } of figures) {
    t.ok(startSeconds > 0)
    t.ok(lineMs.max > 0 && lineMs.max < LONGEST_CHANGE_MS)
    t.ok(fileMs.max > 0 && fileMs.max < LONGEST_CHANGE_MS)
    t.ok(cpuMicros.median > 0)
  }
  t.match(stdout, /\| 1,000 \|/, 'a row of the table')
})
