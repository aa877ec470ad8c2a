import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { copyFile, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { t, test } from 'tap'
import { tenantOfApiKey } from '../../src/core/api-key.ts'
import { AMT, amtCommand, runAmt } from '../support/amt.ts'
import { runCommand } from '../support/program.ts'

// Many whole programs are started, on a machine that may be busy.
t.setTimeout(300_000)

const COMMANDS = [
  'proxy',
  'mixer',
  'up',
  'check',
  'schema',
  'key',
  'certs',
  'usage',
  'top',
  'reconcile',
  'health',
  'exports',
]

await test('--help lists exactly the commands that there are', async t => {
  const { code, stdout, stderr } = await runAmt(['--help'])
  t.equal(code, 0)
  t.equal(stderr, '')
  const listed = stdout.split(/Commands:|Example:/)[1]?.matchAll(/^ {2}([a-z]+)/gm) ?? []
  t.same(
    Array.from(listed, match => match[1]),
    COMMANDS,
  )
})

await test('--help of every command shows an example', async t => {
  const nested = ['certs init', 'certs server', 'certs tenant'].map(path => path.split(' '))
  const paths = [...COMMANDS.map(name => [name]), ...nested]
  const results = await Promise.all(paths.map(path => runAmt([...path, '--help'])))
  for (const [i, { code, stdout }] of results.entries()) {
    const path = paths[i]?.join(' ') ?? ''
    t.equal(code, 0, path)
    t.match(stdout, new RegExp(`Example:\\n.*amt ${path}`), path)
  }
})

await test('--version is that of the package', async t => {
  const { code, stdout } = await runAmt(['--version'])
  t.equal(code, 0)
  t.match(stdout, /^\d+\.\d+\.\d+\n$/)
})

await test('a checkout keeps what Node makes of its sources beside its packages, where it can', async t => {
  const checkout = dirname(dirname(AMT))
  const folder = t.testdir({ bin: {}, node_modules: {} })
  const amt = join(folder, 'bin/amt')
  await copyFile(AMT, amt)
  for (const name of ['src', 'package.json', 'node_modules/node'])
    await symlink(join(checkout, name), join(folder, name))
  const { NODE_COMPILE_CACHE: _, NODE_V8_COVERAGE: __, ...env } = process.env
  const works = async (more: NodeJS.ProcessEnv = {}): Promise<void> => {
    const { code, stderr } = await runCommand([amt, ['--version']], { env: { ...env, ...more } })
    t.equal(code, 0)
    t.equal(stderr, '')
  }
  const cache = join(folder, 'node_modules/.cache')
  await works({ NODE_V8_COVERAGE: join(folder, 'coverage') })
  await t.rejects(readdir(cache), 'coverage is exact')
  const own = join(folder, 'own')
  await works({ NODE_COMPILE_CACHE: own })
  t.ok((await readdir(own)).length > 0, 'where the environment says')
  await t.rejects(readdir(cache))
  await works()
  t.ok((await readdir(join(cache, 'amt'))).length > 0)
  await rm(cache, { recursive: true })
  await writeFile(cache, 'nothing can be made here')
  await works()
})

await test('wrong usage ends with 2, says what is wrong and hints at what was meant', async t => {
  const cases: [string[], RegExp][] = [
    [[], /Usage: amt/],
    [['kye'], /unknown command 'kye'\n\(Did you mean key\?\)/],
    [['--nonsense'], /unknown option '--nonsense'/],
    [['key', '--tenat', 'acme'], /--tenant/],
    [
      ['key', '--tenant', 'acme', '--jsno'],
      /unknown option '--jsno'\n\(Did you mean --json\?\)\n\(`amt key --help`/,
    ],
    [['key', '--tenant', 'acme', 'more'], /too many arguments/],
    [['key'], /--tenant <id>/],
    [['key', '--tenant', 'Acme'], /1 to 63 of a-z/],
    [['certs'], /Usage: amt certs/],
    [['certs', 'intit'], /unknown command 'intit'/],
    [['proxy'], /--config <file>/],
    [['proxy', '--config', 'amt.yaml', '--workers', '0'], /a number from 1 to 256/],
    [['up', '--workers', 'many'], /a number from 1 to 256/],
  ]
  const results = await Promise.all(cases.map(([args]) => runAmt(args)))
  for (const [i, { code, stdout, stderr }] of results.entries()) {
    const [args, wanted] = cases[i] ?? [[], /^$/]
    t.equal(code, 2, args.join(' '))
    t.match(stderr, wanted)
    t.equal(stdout, '', 'nothing for a program that reads the output')
  }
})

await test('key prints a valid key and the digest of just that key', async t => {
  const { code, stdout } = await runAmt(['key', '--tenant', 'acme-eu', '--json'])
  t.equal(code, 0)
  const made: { tenant: string; key: string; digest: string } = JSON.parse(stdout)
  t.same(Object.keys(made), ['tenant', 'key', 'digest'])
  t.equal(tenantOfApiKey(made.key), 'acme-eu')
  t.equal(made.digest, `sha256:${createHash('sha256').update(made.key).digest('hex')}`)
})

await test('key prints the line to paste, and another key each time', async t => {
  const [first, second] = await Promise.all([
    runAmt(['key', '--tenant', 'acme']),
    runAmt(['key', '--tenant', 'acme']),
  ])
  const key = /amt_acme_\w+/.exec(first.stdout)?.[0] ?? ''
  const digest = createHash('sha256').update(key).digest('hex')
  t.match(first.stdout, `\n  - apiKey: sha256:${digest}\n`)
  t.not(first.stdout, second.stdout)
})

await test('key takes a label and an end, as the configuration does', async t => {
  const { stdout } = await runAmt([
    'key',
    '--tenant',
    'acme',
    '--label',
    'ci: 2',
    '--expires',
    '2099-01-01T00:00:00+01:00',
  ])
  t.match(stdout, '\n    label: "ci: 2"\n    expires: 2099-01-01T00:00:00+01:00\n')
  const lasting = await runAmt(['key', '--tenant', 'acme', '--expires', '90d', '--json'])
  const { expires } = JSON.parse(lasting.stdout) as { expires: string }
  t.match(expires, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  t.ok(Math.abs(Date.parse(expires) - Date.now() - 90 * 86_400_000) < 120_000)
  const cases: [string[], string][] = [
    [['--label', ''], 'must be 1 to 64 of letters'],
    [['--label', 'amt_acme_x'], 'must not be a key'],
    [['--expires', 'tomorrow'], 'must be a time such as 2027-01-01T00:00:00Z'],
    [['--expires', '2027-01-01'], 'must be a time such as'],
    [['--expires', '2020-01-01T00:00:00Z'], 'must be in the future'],
  ]
  for (const [args, wanted] of cases) {
    const refused = await runAmt(['key', '--tenant', 'acme', ...args])
    t.equal(refused.code, 2, args.join(' '))
    t.match(refused.stderr, wanted)
  }
})

await test('a reader that goes away is no failure', async t => {
  const amt = spawn(...amtCommand(['schema']), { stdio: ['ignore', 'pipe', 'pipe'] })
  amt.stdout.destroy()
  const errors: Buffer[] = []
  amt.stderr.on('data', (chunk: Buffer) => errors.push(chunk))
  const [code] = await once(amt, 'close')
  t.equal(code, 0)
  t.equal(Buffer.concat(errors).toString(), '')
})

await test('a full disk is a failure', {
  skip: process.platform !== 'linux' && 'there is no /dev/full',
}, async t => {
  const [program, args] = amtCommand(['schema'])
  const failed = promisify(execFile)('sh', ['-c', `${program} ${args.join(' ')} > /dev/full`])
  await t.rejects(failed, { code: 1 })
})
