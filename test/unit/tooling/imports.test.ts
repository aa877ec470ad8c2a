/** Loads every module, so that a broken import cannot hide in a file that no other test needs. */
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'tap'

const SRC = join(import.meta.dirname, '../../../src')
/** They start or end a process when they are loaded, and are tried by the tests that start one. */
const ENTRIES = ['cli/main.ts', 'cli/up/exit-with-parent.ts', 'proxy/worker/main.ts']

const modules = globSync('**/*.ts', { cwd: SRC }).filter(path => !ENTRIES.includes(path))

await test('there are modules to load', async t => {
  t.ok(modules.length > 20, `${modules.length} modules`)
})

await test('every module loads and leaves nothing open', async t => {
  const before = process.getActiveResourcesInfo()
  for (const path of modules.toSorted()) {
    await t.resolves(import(pathToFileURL(join(SRC, path)).href), path)
  }
  t.same(
    process.getActiveResourcesInfo(),
    before,
    'no work at import time: no timer, socket or watcher',
  )
})
