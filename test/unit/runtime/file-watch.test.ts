/** Changes of files, however they come, are told once they are over. */
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { FileWatch } from '../../../src/runtime/file-watch.ts'

interface Watched {
  readonly folder: string
  /** Fulfilled with the next call. */
  readonly next: () => Promise<void>
  readonly calls: () => number
}

function watched(
  t: Test,
  files: readonly string[],
  more: { lookMs?: number; good?: () => boolean } = {},
): Watched {
  const folder = t.testdir({ a: 'one', b: 'one', real: { c: 'one' } })
  let calls = 0
  let heard: () => void = () => {}
  const watch = new FileWatch({
    lookMs: more.lookMs ?? 60_000,
    changed: () => {
      calls += 1
      heard()
      return more.good?.() ?? true
    },
  })
  t.teardown(() => watch.close())
  if (files.includes('link/c')) symlinkSync('real', join(folder, 'link'))
  watch.follow(files.map(file => join(folder, file)))
  const next = (): Promise<void> =>
    new Promise(resolve => {
      heard = resolve
    })
  return { folder, next, calls: () => calls }
}

await test('a file that is written, renamed over, deleted and made again', async t => {
  const { folder, next, calls } = watched(t, ['a'])
  const file = join(folder, 'a')
  for (const change of [
    () => writeFileSync(file, 'two'),
    () => {
      writeFileSync(`${file}.new`, 'two')
      renameSync(`${file}.new`, file)
    },
    () => rmSync(file),
    () => writeFileSync(file, 'three'),
  ]) {
    const told = next()
    change()
    await told
  }
  t.equal(calls(), 4)
})

await test('a neighbour does not matter', async t => {
  const { folder, next, calls } = watched(t, ['a'])
  writeFileSync(join(folder, 'b'), 'two')
  const told = next()
  setTimeout(() => writeFileSync(join(folder, 'a'), 'two'), 300)
  await told
  t.equal(calls(), 1)
})

await test('a link on the way to a folder turns: no event, and seen all the same', async t => {
  const { folder, next } = watched(t, ['link/c'], { lookMs: 50 })
  const told = next()
  mkdirSync(join(folder, 'other'))
  writeFileSync(join(folder, 'other', 'c'), 'two')
  symlinkSync('other', join(folder, 'link.new'))
  renameSync(join(folder, 'link.new'), join(folder, 'link'))
  await told
  t.pass('told')
})

await test('what could not be used is looked at again', async t => {
  let good = false
  const { folder, next, calls } = watched(t, ['a'], { lookMs: 50, good: () => good })
  const told = next()
  writeFileSync(join(folder, 'a'), 'two')
  await told
  await next()
  good = true
  await next()
  const after = calls()
  await new Promise(resolve => setTimeout(resolve, 200))
  t.equal(calls(), after, 'and no more once it could')
})
