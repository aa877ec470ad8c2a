import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'tap'
import { FolderLock } from '../../../../src/proxy/shipping/folder-lock.ts'
import { ExactMixer } from '../../../support/exact-mixer.ts'
import { journalFolder, startShipper } from '../../../support/started-shipper.ts'

const LOCK = join(import.meta.dirname, '../../../../src/proxy/shipping/folder-lock.ts')

/** A process that takes the lock, says so, and keeps it until it is killed. */
function holder(folder: string): ReturnType<typeof spawn> {
  const program = `
    import { FolderLock } from ${JSON.stringify(LOCK)}
    globalThis.lock = new FolderLock(${JSON.stringify(folder)})
    process.stdout.write('held')
    setInterval(() => {}, 1000)`
  return spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

await test('a second proxy is refused the folder, and hears who has it', async t => {
  const folder = journalFolder(t)
  const process = holder(folder)
  t.teardown(() => process.kill('SIGKILL'))
  if (process.stdout === null) throw new Error('no output')
  await once(process.stdout, 'data')
  await t.rejects(startShipper(t, folder, new ExactMixer()), {
    message: `another proxy (process ${process.pid}) ships the journals in ${folder}`,
  })
  process.kill('SIGKILL')
  await Promise.all([once(process, 'exit'), text(process.stdout)])
  await t.resolves(startShipper(t, folder, new ExactMixer()), 'whose process is gone holds nothing')
})

await test('a lock of the same process holds, too, until it is released', t => {
  const folder = journalFolder(t)
  const first = new FolderLock(folder)
  t.throws(() => new FolderLock(folder), { name: 'FolderInUseError' })
  first.release()
  new FolderLock(folder).release()
  t.throws(() => new FolderLock(join(folder, 'missing')), { code: 'ERR_SQLITE_ERROR' })
  t.end()
})
