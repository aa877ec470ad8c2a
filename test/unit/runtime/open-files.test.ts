import { closeSync, openSync } from 'node:fs'
import { test } from 'tap'
import { openFiles, openFilesLimit } from '../../../src/runtime/open-files.ts'

const ELSEWHERE = process.platform !== 'linux' && 'open files are counted on Linux alone'

await test('open files are counted', { skip: ELSEWHERE }, t => {
  const before = openFiles() ?? 0
  t.ok(before > 3)
  const files = Array.from({ length: 40 }, () => openSync('/dev/null', 'r'))
  t.equal(openFiles(), before + 40)
  for (const file of files) closeSync(file)
  t.equal(openFiles(), before)
  t.ok((openFilesLimit() ?? 0) > before)
  t.end()
})
