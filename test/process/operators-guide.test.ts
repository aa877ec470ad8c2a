/** The operator's guide, pasted block by block into one shell in an empty folder, as a newcomer does it. */
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { t as file, test } from 'tap'
import { freePorts } from '../support/free-ports.ts'
import { runCommand } from '../support/program.ts'

/** Some thirty programs, one after the other, on a machine that may be busy. */
const MOST_MS = 240_000
file.setTimeout(MOST_MS + 10_000)

const ROOT = join(import.meta.dirname, '../..')
/** Of the guide; what runs elsewhere on this machine may have them. */
const PORTS = ['8443', '9901', '9092', '9101', '9102']

await test('every block of the guide does what it says', async t => {
  const guide = await readFile(join(ROOT, 'docs/operators-guide.md'), 'utf8')
  const blocks = [...guide.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block ?? '')
  t.ok(blocks.length >= 12, 'there are blocks')
  // The path of a unix socket may have 107 bytes, and those of fixtures are long.
  const folder = await mkdtemp(join(tmpdir(), 'amt-guide-'))
  t.teardown(async () => rm(folder, { recursive: true, force: true }))
  // A checkout whose packages are there already.
  for (const name of ['bin', 'src', 'examples', 'node_modules', 'package.json'])
    await symlink(join(ROOT, name), join(folder, name))
  await mkdir(join(folder, 'tmp'))
  await copyFile(join(ROOT, 'package-lock.json'), join(folder, 'package-lock.json'))
  const ports = await freePorts(PORTS.length)
  const told = blocks.map(block => block.replace(/^npm ci$/m, ''))
  const script = [
    'set -euo pipefail',
    // Whatever becomes of it, nothing stays.
    `trap 'kill $(jobs -p) $(cat "$AMT/service/proxy.pid" 2>/dev/null) 2>/dev/null || true' EXIT`,
    ...told.map((block, index) => `echo "=== block ${index + 1}"\n${block}`),
    'trap - EXIT; kill $(jobs -p) 2>/dev/null || true; echo "=== all done"',
  ].join('\n')
  const moved = PORTS.reduce(
    (text, port, index) => text.replaceAll(new RegExp(`\\b${port}\\b`, 'g'), String(ports[index])),
    script,
  )
  const path = join(folder, 'guide.sh')
  await writeFile(path, moved)
  const { code, stdout, stderr } = await runCommand(['bash', [path]], {
    cwd: folder,
    timeout: MOST_MS,
  })
  const said = stdout.toString()
  t.equal(code, 0, `${said.slice(-2_000)}\n${stderr.slice(-2_000)}`)
  t.match(said, /=== all done\n$/)
  t.match(said, /hello from acme/, 'acme has its answer')
  t.match(said, /the books balance/)
  t.match(said, /^acme +1 /m, 'usage of acme')
})
