/** A check that is switched off on a line says why, on that line. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

const ROOT = join(import.meta.dirname, '../../..')
const SUPPRESSION =
  /(?:oxlint|eslint|biome|knip|c8|tap)-(?:disable|ignore)|@ts-(?:ignore|expect-error|nocheck)/
const WITH_REASON =
  /oxlint-disable(?:-next-line|-line)? [\w/,@ -]+? -- \S+ \S+|biome-ignore \w+(?:\/\w+)*: \S+ \S+|@ts-expect-error \S+ \S+/

const files = globSync(['src/**/*.ts', 'test/**/*.ts'], { cwd: ROOT }).filter(
  path => path !== 'test/unit/tooling/suppressions.test.ts',
)

await test('every suppression gives its reason on the line', async t => {
  t.ok(files.length > 0)
  for (const path of files) {
    const lines = readFileSync(join(ROOT, path), 'utf8').split('\n')
    const bare = lines.filter(line => SUPPRESSION.test(line) && !WITH_REASON.test(line))
    t.same(bare, [], path)
  }
})

await test('the form of a reason is known', async t => {
  t.match('// oxlint-disable-next-line no-await-in-loop -- one after the other', WITH_REASON)
  t.match('// biome-ignore format: a table', WITH_REASON)
  t.match('// @ts-expect-error latin1Slice has no types', WITH_REASON)
  t.notMatch('// oxlint-disable-next-line no-await-in-loop', WITH_REASON)
  t.notMatch('// @ts-ignore', WITH_REASON)
})
