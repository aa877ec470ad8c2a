import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import type { Config } from '../../../../src/config/schema.ts'
import { AccessLogFile } from '../../../../src/proxy/primary/access-log-file.ts'
import { LogLines } from '../../../support/log-lines.ts'

const SIZE = 100

interface Lab {
  readonly path: string
  readonly file: AccessLogFile
  /** How often workers were told to open it anew. */
  readonly reopened: () => number
}

function lab(t: Test): Lab {
  const path = join(t.testdir({ 'access.log': 'one line\n' }), 'access.log')
  let reopened = 0
  const file = new AccessLogFile({
    log: { access: path, accessRotation: { size: SIZE, keep: 3 } } as unknown as Config['log'],
    logger: new LogLines().logger,
    reopen: () => (reopened += 1),
    metrics: { rotated: () => {}, rotationFailed: () => t.fail('it can be moved') },
  })
  return { path, file, reopened: () => reopened }
}

await test('workers follow a file that somebody has put in place of theirs', async t => {
  const { path, file, reopened } = lab(t)
  await file.look(path)
  await file.look(path)
  t.equal(reopened(), 0)
  writeFileSync(`${path}.new`, '')
  renameSync(path, `${path}.1`)
  renameSync(`${path}.new`, path)
  await file.look(path)
  t.equal(reopened(), 1, 'as the workers of another process do that rotate it')
  await file.look(path)
  t.equal(reopened(), 1)
})

await test('a file that is too large is moved away once, and the new one is no surprise', async t => {
  const { path, file, reopened } = lab(t)
  writeFileSync(path, 'x'.repeat(SIZE))
  await file.look(path)
  t.equal(reopened(), 1)
  t.notOk(existsSync(path))
  writeFileSync(path, 'of a worker')
  await file.look(path)
  await file.look(path)
  t.equal(reopened(), 1)
  t.equal(readFileSync(`${path}.1`, 'utf8').length, SIZE)
})

await test('a process that has handed over leaves the rotation to the other one', async t => {
  const { path, file, reopened } = lab(t)
  await file.look(path)
  file.follow()
  writeFileSync(path, 'x'.repeat(SIZE))
  await file.look(path)
  t.ok(existsSync(path))
  t.notOk(existsSync(`${path}.1`))
  renameSync(path, `${path}.1`)
  writeFileSync(path, 'of the other one')
  await file.look(path)
  t.equal(reopened(), 1)
})
