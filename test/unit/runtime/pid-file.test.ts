import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { PidFile } from '../../../src/runtime/pid-file.ts'
import { LogLines } from '../../support/log-lines.ts'

await test('it names this process, and goes with it', t => {
  const path = join(t.testdir({}), 'amt.pid')
  const file = new PidFile(path, new LogLines().logger)
  writeFileSync(path, '1\n')
  file.write()
  t.equal(readFileSync(path, 'utf8'), `${process.pid}\n`)
  file.remove()
  t.notOk(existsSync(path))
  t.end()
})

await test('it names the process after this one, and stays then', t => {
  const path = join(t.testdir({}), 'amt.pid')
  const file = new PidFile(path, new LogLines().logger)
  file.write()
  file.write(1)
  t.equal(readFileSync(path, 'utf8'), '1\n')
  file.remove()
  t.equal(readFileSync(path, 'utf8'), '1\n')
  t.end()
})

await test('one that names the process after this one stays', t => {
  const path = join(t.testdir({}), 'amt.pid')
  const file = new PidFile(path, new LogLines().logger)
  file.write()
  writeFileSync(path, '1\n')
  file.remove()
  t.equal(readFileSync(path, 'utf8'), '1\n')
  t.end()
})

await test('one that cannot be written is told of, and stops nothing', t => {
  const log = new LogLines()
  const file = new PidFile(join(t.testdir({}), 'no', 'folder', 'amt.pid'), log.logger)
  file.write()
  file.remove()
  t.equal(log.all('the pid file cannot be written').length, 1)
  t.end()
})
