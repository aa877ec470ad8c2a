import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'

const commands = fileURLToPath(new URL('../../../src/cli/commands', import.meta.url))

interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs one command by itself, in a process of its own: it writes to its streams and sets its exit code. */
function run(file: string, factory: string, args: readonly string[]): Outcome {
  const script = `import { ${factory} } from ${JSON.stringify(`${commands}/${file}`)}
await ${factory}().parseAsync(${JSON.stringify(args)}, { from: 'user' })`
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', script],
    { encoding: 'utf8', timeout: 20_000 },
  )
  return { status, stdout, stderr }
}

const VALID = `listeners: [{ name: a, mode: private, port: 7000 }]
mixer: { token: 0123456789abcdef-token }
service: { operations: [{ name: a, match: GET /a }, { name: b, match: GET /b }] }
`

await test('check says what a valid file holds, and warns on stderr', async t => {
  const directory = t.testdir({ 'amt.yaml': VALID })
  const file = `${directory}/amt.yaml`
  t.same(run('check.ts', 'checkCommand', [file]), {
    status: 0,
    stdout: `${file} is valid: 1 listener, 0 tenants, 2 operations\n`,
    stderr: `warning: ${file}:1:13: listeners[0]: no tenant has an address, so nothing reaches the private listener a\n`,
  })
})

await test('check prints every problem and exits with 2', async t => {
  const directory = t.testdir({ 'amt.yaml': `${VALID}workers: 0\nfoo: 1\n` })
  const file = `${directory}/amt.yaml`
  const { status, stdout, stderr } = run('check.ts', 'checkCommand', [file])
  t.equal(status, 2)
  t.equal(stdout, '')
  t.match(stderr, /^.*amt\.yaml:4:10: workers: .*\n.*amt\.yaml:5:1: foo: .*\n$/)
})

await test('help shows an example', async t => {
  t.match(
    run('check.ts', 'checkCommand', ['--help']).stdout,
    /Example:\n.*amt check config\.example\.yaml/,
  )
  t.match(run('schema.ts', 'schemaCommand', ['--help']).stdout, /Example:\n.*amt schema/)
})

await test('schema prints the JSON Schema', async t => {
  const { status, stdout } = run('schema.ts', 'schemaCommand', [])
  t.equal(status, 0)
  t.match(JSON.parse(stdout), { title: 'AMT configuration' })
})
