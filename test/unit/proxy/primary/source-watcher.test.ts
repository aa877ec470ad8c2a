import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { SourceWatcher } from '../../../../src/proxy/primary/source-watcher.ts'
import { LogLines } from '../../../support/log-lines.ts'

type Sources = ConstructorParameters<typeof SourceWatcher>[0]['sources']

function watching(t: Test, sources: Sources) {
  const log = new LogLines()
  let changes = 0
  let heard: () => void = () => {}
  const watcher = new SourceWatcher({
    sources,
    logger: log.logger,
    onChange: () => {
      changes += 1
      heard()
    },
  })
  t.teardown(() => watcher.close())
  return {
    watcher,
    log,
    changes: () => changes,
    change: () => new Promise<void>(resolve => (heard = resolve)),
  }
}

await test('a burst of changes is one change', async t => {
  const directory = t.testdir({})
  const { change, changes } = watching(t, [{ directory }])
  const heard = change()
  for (let file = 0; file < 20; file += 1) writeFileSync(join(directory, `${file}.yaml`), 'x')
  await heard
  t.equal(changes(), 1)
})

await test('a directory that never rests is heard all the same', async t => {
  const directory = t.testdir({})
  const { change } = watching(t, [{ directory }])
  const heard = change()
  const restless = setInterval(() => writeFileSync(join(directory, 'a.yaml'), 'x'), 20)
  await heard
  clearInterval(restless)
  t.pass('within the longest wait, although no pause was long enough')
})

await test('neighbours of a file and files of no interest are not heard', async t => {
  const folder = t.testdir({ 'tenants.jsonl': '', tenants: {} })
  const directory = join(folder, 'tenants')
  const { change, changes } = watching(t, [{ file: join(folder, 'tenants.jsonl') }, { directory }])
  const heard = change()
  writeFileSync(join(folder, 'neighbour.jsonl'), 'x')
  writeFileSync(join(directory, 'notes.txt'), 'x')
  writeFileSync(join(directory, '.a.yaml.swp'), 'x')
  // Long enough for a wrong change to come first: only then does the right one.
  await new Promise(resolve => setTimeout(resolve, 300))
  t.equal(changes(), 0)
  writeFileSync(join(folder, 'tenants.jsonl'), 'y')
  await heard
  t.equal(changes(), 1)
})

await test('a mounted directory that is swapped through a link is heard', async t => {
  const folder = t.testdir({
    v1: { 'tenants.jsonl': 'a' },
    v2: { 'tenants.jsonl': 'b' },
    mount: {},
  })
  const mount = join(folder, 'mount')
  symlinkSync(join(folder, 'v1'), join(mount, '..data'))
  symlinkSync(join('..data', 'tenants.jsonl'), join(mount, 'tenants.jsonl'))
  const { change, changes } = watching(t, [{ file: join(mount, 'tenants.jsonl') }])
  const heard = change()
  symlinkSync(join(folder, 'v2'), join(mount, '..next'))
  renameSync(join(mount, '..next'), join(mount, '..data'))
  await heard
  t.equal(changes(), 1)
})

await test('a directory that is deleted and made anew is watched again', async t => {
  const folder = t.testdir({ tenants: {} })
  const directory = join(folder, 'tenants')
  const { log, change } = watching(t, [{ directory }])
  const gone = log.next('a tenant source cannot be watched; trying again')
  rmSync(directory, { recursive: true })
  await gone
  mkdirSync(directory)
  await change()
  const heard = change()
  writeFileSync(join(directory, 'a.yaml'), 'x')
  await heard
  t.pass('the new directory is heard')
})

await test('a directory that is not there yet is waited for', async t => {
  const folder = t.testdir({})
  const { log, watcher } = watching(t, [{ directory: join(folder, 'later') }])
  t.match(log.lines, [{ msg: 'a tenant source cannot be watched; trying again' }])
  watcher.close()
})
