/** Lints small examples with the project's own settings: a rule that never fires would look like a project without faults. */
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Test, t, test } from 'tap'

const ROOT = join(import.meta.dirname, '../../..')
const OXLINT = join(ROOT, 'node_modules/.bin/oxlint')

// Five runs of the linter with types, on a machine that may be busy.
t.setTimeout(180_000)

const PROCESSES = ['proxy', 'mixer', 'broker', 'manager'] as const
const PURE = ['core', 'codec', 'contracts'] as const
/** What each layer may import of `src/`, besides itself. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  core: [],
  codec: ['core'],
  contracts: ['core', 'codec'],
  config: [...PURE],
  runtime: [...PURE, 'config'],
  proxy: [...PURE, 'config', 'runtime'],
  mixer: [...PURE, 'config', 'runtime'],
  broker: [...PURE, 'config', 'runtime'],
  manager: [...PURE, 'config', 'runtime'],
  cli: [...PURE, 'config', 'runtime', ...PROCESSES],
}
const LAYERS = Object.keys(ALLOWED)

interface Example {
  readonly path: string
  readonly text: string
  /** The rule that must fire in this file; without one, none may. */
  readonly rule?: string
}

const IMPORTS = 'eslint(no-restricted-imports)'
const GLOBALS = 'eslint(no-restricted-globals)'
const ENVIRONMENT = 'node(no-process-env)'
const EXIT = 'unicorn(no-process-exit)'

await test('each layer imports what the arrows allow and nothing else', async t => {
  const examples = LAYERS.flatMap(layer =>
    LAYERS.filter(other => other !== layer).map((other): Example => {
      const path = `src/${layer}/deep/imports-${other}.ts`
      const text = `import { thing } from '../../${other}/deep/thing.ts'\nexport const other = thing\n`
      return ALLOWED[layer]?.includes(other) ? { path, text } : { path, text, rule: IMPORTS }
    }),
  )
  const things = LAYERS.map(
    (layer): Example => ({ path: `src/${layer}/deep/thing.ts`, text: 'export const thing = 1\n' }),
  )
  compare(t, [...examples, ...things])
})

await test('pure code reaches no input, no output, no clock and no chance', async t => {
  const pure = [...PURE, 'proxy/classify'].flatMap((layer): readonly Example[] => [
    example(layer, 'date', 'Date.now()', GLOBALS),
    example(layer, 'performance', 'performance.now()', GLOBALS),
    example(layer, 'timer', 'setTimeout(() => 1, 2)', GLOBALS),
    example(layer, 'process', 'process.pid', GLOBALS),
    example(layer, 'global-this', 'globalThis.name', GLOBALS),
    example(layer, 'random', 'Math.random()', 'eslint(no-restricted-properties)'),
  ])
  const imports = PURE.flatMap((layer): readonly Example[] => [
    importing(layer, 'node:fs', IMPORTS),
    importing(layer, 'node:net', IMPORTS),
    importing(layer, 'node:process', IMPORTS),
    importing(layer, 'node:timers/promises', IMPORTS),
    importing(layer, 'node:buffer'),
  ])
  const packages = ['core', 'codec'].flatMap(layer =>
    ['zod', 'node-forge', 'nodes', 'pino'].map(name => importing(layer, name, IMPORTS)),
  )
  compare(t, [...pure, ...imports, ...packages, importing('contracts', 'zod')])
})

await test('the environment, the end of a process and composition roots belong to few', async t => {
  compare(t, [
    example('config', 'env', 'process.env'),
    example('cli', 'env', 'process.env'),
    ...['runtime', ...PROCESSES].map(layer => example(layer, 'env', 'process.env', ENVIRONMENT)),
    example('cli', 'exit', 'process.exit(2)'),
    { path: 'src/proxy/worker/main.ts', text: 'process.exit(1)\n' },
    ...['config', 'runtime', ...PROCESSES].map(layer =>
      example(layer, 'exit', 'process.exit(1)', EXIT),
    ),
    { path: 'src/proxy/app.ts', text: 'export const app = 1\n' },
    {
      path: 'src/proxy/pool/root.ts',
      text: "export const root = await import('../app.ts')\n",
      rule: IMPORTS,
    },
    {
      path: 'src/proxy/pool/app.ts',
      text: "import { app } from '../app.ts'\nexport const root = app\n",
      rule: IMPORTS,
    },
    {
      path: 'src/cli/root.ts',
      text: "import { app } from '../proxy/app.ts'\nexport const root = app\n",
    },
    {
      path: 'test/unit/root.test.ts',
      text: "import { app } from '../../src/proxy/app.ts'\nexport const root = app\n",
    },
  ])
})

await test('size, types and cycles are checked', async t => {
  const lines = (count: number, line: string): string => `${line}\n`.repeat(count)
  const branches = lines(20, '  if (value > 1) return 1')
  compare(t, [
    { path: 'src/runtime/long.ts', text: lines(401, 'void 0'), rule: 'eslint(max-lines)' },
    {
      path: 'src/runtime/long-function.ts',
      text: `export function long(): void {\n${lines(80, '  void 0')}}\n`,
      rule: 'eslint(max-lines-per-function)',
    },
    {
      path: 'src/runtime/branches.ts',
      text: `export function pick(value: number): number {\n${branches}  return 0\n}\n`,
      rule: 'eslint(complexity)',
    },
    {
      path: 'src/runtime/floating.ts',
      text: 'async function work(): Promise<void> {}\nexport function start(): void {\n  work()\n}\n',
      rule: 'typescript(no-floating-promises)',
    },
    {
      path: 'src/runtime/any.ts',
      text: 'export const value: any = 1\n',
      rule: 'typescript(no-explicit-any)',
    },
    {
      path: 'src/runtime/default.ts',
      text: 'export default 1\n',
      rule: 'import(no-default-export)',
    },
    {
      path: 'src/runtime/CamelCase.ts',
      text: 'export const value = 1\n',
      rule: 'unicorn(filename-case)',
    },
    {
      path: 'src/runtime/egg.ts',
      text: "import { hen } from './hen.ts'\nexport const egg = (): unknown => hen\n",
      rule: 'import(no-cycle)',
    },
    {
      path: 'src/runtime/hen.ts',
      text: "import { egg } from './egg.ts'\nexport const hen = (): unknown => egg\n",
      rule: 'import(no-cycle)',
    },
  ])
})

await test('the linter sees every source file of this project', async t => {
  const files = globSync('src/**/*.ts', { cwd: ROOT })
  t.ok(files.length > 0)
  t.equal(lint(ROOT, ['--quiet', 'src']).checked, files.length)
})

function example(layer: string, name: string, expression: string, rule?: string): Example {
  const file = {
    path: `src/${layer}/uses-${name}.ts`,
    text: `export const value = (): unknown => ${expression}\n`,
  }
  return rule === undefined ? file : { ...file, rule }
}

function importing(layer: string, from: string, rule?: string): Example {
  const name = from.replaceAll(/[:/]/g, '-')
  const file = {
    path: `src/${layer}/imports-${name}.ts`,
    text: `import * as it from '${from}'\nexport const value = it\n`,
  }
  return rule === undefined ? file : { ...file, rule }
}

function compare(t: Test, examples: readonly Example[]): void {
  const folder = mkdtempSync(join(tmpdir(), 'amt-lint-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const file of ['.oxlintrc.json', 'tsconfig.json'])
    cpSync(join(ROOT, file), join(folder, file))
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  for (const { path, text } of examples) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  const { checked, rules } = lint(folder, [
    'src',
    ...(examples.some(e => e.path.startsWith('test/')) ? ['test'] : []),
  ])
  t.equal(checked, examples.length, 'every example is seen')
  for (const { path, rule } of examples) {
    const fired = rules.get(path) ?? []
    if (rule === undefined) t.same(fired, [], `${path} is clean`)
    else t.ok(fired.includes(rule), `${path} breaks ${rule}`, { fired })
  }
}

function lint(
  folder: string,
  args: readonly string[],
): { checked: number; rules: Map<string, string[]> } {
  // tap puts its loader into NODE_OPTIONS of every child; the linter does not start with it.
  const command = ['-u', 'NODE_OPTIONS', OXLINT, '--format=json', ...args]
  const { stdout, stderr } = spawnSync('env', command, {
    cwd: folder,
    encoding: 'utf8',
  })
  if (!stdout.startsWith('{')) throw new Error(`oxlint did not lint: ${stdout}${stderr}`)
  const report = JSON.parse(stdout) as {
    diagnostics: readonly { code: string; filename: string }[]
    number_of_files: number
  }
  const rules = new Map<string, string[]>()
  for (const { code, filename } of report.diagnostics)
    rules.set(filename, [...(rules.get(filename) ?? []), code])
  return { checked: report.number_of_files, rules }
}
