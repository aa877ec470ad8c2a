import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { t, test } from 'tap'
import { asAtShell } from '../support/amt.ts'

// Many whole programs are started, on a machine that may be busy.
t.setTimeout(300_000)

const ROOT = join(import.meta.dirname, '..', '..')
/** The Node that runs this test comes first, as on a machine that has it installed. */
const ENV = { ...process.env, PATH: [dirname(process.execPath), process.env.PATH].join(delimiter) }
const DEADLINE_MS = 240_000

async function run(cwd: string, program: string, ...args: string[]): Promise<string> {
  const options = { cwd, env: ENV, timeout: DEADLINE_MS, maxBuffer: 16 * 1024 * 1024 }
  return (await promisify(execFile)(...asAtShell(program, args), options)).stdout
}

/** What `files` of package.json names, with code built into a folder of its own: `dist` of the checkout stays as it is. */
async function stage(folder: string): Promise<void> {
  const manifest: { files: string[] } = JSON.parse(
    await readFile(join(ROOT, 'package.json'), 'utf8'),
  )
  await mkdir(folder)
  for (const name of ['package.json', ...manifest.files]) {
    if (name === 'dist') continue
    await cp(join(ROOT, name), join(folder, name), { recursive: true })
  }
  const tsc = join(ROOT, 'node_modules', '.bin', 'tsc')
  await run(ROOT, tsc, '-p', 'tsconfig.build.json', '--outDir', join(folder, 'dist'))
}

await test('the package, installed in an empty folder, runs', async t => {
  const dir = t.testdir({ empty: {} })
  const staged = join(dir, 'staged')
  await stage(staged)
  const packed = await run(staged, 'npm', 'pack', '--ignore-scripts', '--pack-destination', dir)
  const empty = join(dir, 'empty')
  await writeFile(join(empty, 'package.json'), '{}')
  const quick = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts']
  await run(empty, 'npm', 'install', ...quick, join(dir, packed.trim()))
  const installed = join(empty, 'node_modules', 'auto-multi-tenancy')
  const amt = (...args: string[]): Promise<string> =>
    run(empty, join(empty, 'node_modules', '.bin', 'amt'), ...args)

  t.match(await amt('--help'), 'Usage: amt')
  const { version }: { version: string } = JSON.parse(
    await readFile(join(ROOT, 'package.json'), 'utf8'),
  )
  t.equal(await amt('--version'), `${version}\n`)
  t.match(await amt('up', '--prepare'), 'State in state: made ca.key')
  t.ok((await readdir(join(empty, 'state'))).includes('mixer.token'), 'not inside node_modules')
  await cp(join(installed, 'config.example.yaml'), join(empty, 'amt.yaml'))
  t.match(await amt('check', 'amt.yaml'), 'amt.yaml is valid: 3 listeners, 2 tenants, 4 operations')
  t.match(JSON.parse(await amt('schema')), { type: 'object' })

  const shipped = (await readdir(installed, { recursive: true })).filter(
    name => !name.startsWith('dist'),
  )
  t.notMatch(
    shipped.join('\n'),
    /\.(key|p12|jwt|apikey)$|^(src|test|state)/m,
    'no secret, no source, no test',
  )
})
