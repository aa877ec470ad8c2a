/** The machine's own Node may be older than the one that AMT is made for: tests must not run on it unnoticed. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

const ROOT = join(import.meta.dirname, '../../..')
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  devDependencies: Readonly<Record<string, string>>
}
const pinned = `v${manifest.devDependencies['node']}`

await test('tests run on the Node that the project brings', async t => {
  t.equal(process.version, pinned)
  t.equal(process.execPath, join(ROOT, 'node_modules/node/bin/node'))
})

await test('a program that a test starts as `node` is the same one', async t => {
  t.equal(execFileSync('node', ['--version'], { encoding: 'utf8' }).trim(), pinned)
})

await test('sources run as they are, without a build', async t => {
  t.equal(process.features.typescript, 'strip')
})
