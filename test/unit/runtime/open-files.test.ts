import { closeSync, openSync } from 'node:fs'
import { test } from 'tap'
import { openFiles, openFilesLimit } from '../../../src/runtime/open-files.ts'

await test('open files are counted', { skip: process.platform !== 'linux' }, t => {
  const before = openFiles() ?? 0
  t.ok(before > 3)
  const files = Array.from({ length: 40 }, () => openSync('/dev/null', 'r'))
  t.equal(openFiles(), before + 40)
  for (const file of files) closeSync(file)
  t.equal(openFiles(), before)
  t.ok((openFilesLimit() ?? 0) > before)
  t.end()
})
