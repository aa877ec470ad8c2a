/** What is heard of a change, by the ways in which people and programs make it. */
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  type FSWatcher,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import type { Touched } from '../../../../src/config/touched.ts'
import { SourceWatcher } from '../../../../src/proxy/primary/source-watcher.ts'
import { LogLines } from '../../../support/log-lines.ts'

type Options = ConstructorParameters<typeof SourceWatcher>[0]

const LOST = 'a tenant source cannot be watched; trying again'

function watching(t: Test, sources: Options['sources'], more: Partial<Options> = {}) {
  const log = new LogLines()
  const heard: Touched[] = []
  let hear: () => void = () => {}
  const watcher = new SourceWatcher({
    sources,
    logger: log.logger,
    onChange: touched => {
      heard.push(touched)
      hear()
    },
    ...more,
  })
  t.teardown(() => watcher.close())
  return {
    watcher,
    log,
    heard,
    /** What is heard next. */
    next: async (): Promise<Touched> => {
      const count = heard.length
      while (heard.length === count) await new Promise<void>(resolve => (hear = resolve))
      return heard[count] as Touched
    },
  }
}

const wait = async (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

await test('a source that is suspected is looked at, once it is left alone', async t => {
  const directory = t.testdir({ tenants: {}, 'all.jsonl': '' })
  const [file, tenants] = [join(directory, 'all.jsonl'), join(directory, 'tenants')]
  const { watcher, next } = watching(t, [{ file }, { directory: tenants }])
  const change = next()
  watcher.suspect([tenants, join(directory, 'of nobody')])
  const touched = await change
  t.equal(touched.scopeOf(tenants), 'all')
  t.equal(touched.scopeOf(file), undefined)
})

await test('an atomic rename over a file is one change of that file alone', async t => {
  const directory = t.testdir({ 'a.yaml': 'old', 'b.yaml': 'old' })
  const { next, heard } = watching(t, [{ directory }])
  const change = next()
  writeFileSync(join(directory, '.a.yaml.new'), 'new')
  renameSync(join(directory, '.a.yaml.new'), join(directory, 'a.yaml'))
  t.same((await change).scopeOf(directory), new Set(['a.yaml']))
  t.equal(heard.length, 1)
})

await test('an atomic rename does not wait as a write in place does', async t => {
  const directory = t.testdir({ 'a.yaml': 'old', 'b.yaml': 'old' })
  const { next } = watching(t, [{ directory }])
  const first = next()
  writeFileSync(join(directory, 'b.yaml'), 'new')
  writeFileSync(join(directory, 'new'), 'new')
  renameSync(join(directory, 'new'), join(directory, 'a.yaml'))
  t.same((await first).scopeOf(directory), new Set(['a.yaml']), 'it overtakes')
  t.same((await next()).scopeOf(directory), new Set(['b.yaml']))
})

await test('sed -i is one change', async t => {
  const directory = t.testdir({ 'a.yaml': 'id: old\n' })
  const { next, heard } = watching(t, [{ directory }])
  const change = next()
  execFileSync('sed', ['-i', 's/old/new/', join(directory, 'a.yaml')])
  t.same((await change).scopeOf(directory), new Set(['a.yaml']))
  t.equal(readFileSync(join(directory, 'a.yaml'), 'utf8'), 'id: new\n')
  t.equal(heard.length, 1)
})

await test('an editor that moves the old file away and writes a new one is heard when it is done', async t => {
  const directory = t.testdir({ 'a.yaml': 'old' })
  const path = join(directory, 'a.yaml')
  const { next, heard } = watching(t, [{ directory }])
  const change = next()
  // As vim does it with `backupcopy=no`, here at its slowest.
  writeFileSync(join(directory, '4913'), '')
  unlinkSync(join(directory, '4913'))
  renameSync(path, `${path}~`)
  await wait(50)
  writeFileSync(path, 'ne')
  await wait(100)
  appendFileSync(path, 'w')
  unlinkSync(`${path}~`)
  t.same((await change).scopeOf(directory), new Set(['a.yaml']))
  t.equal(readFileSync(path, 'utf8'), 'new', 'not while it was away, and not half of it')
  t.equal(heard.length, 1)
})

await test('swap files, locks, backups and temporary files of editors are not heard', async t => {
  const folder = t.testdir({ 'tenants.jsonl': '', tenants: {} })
  const directory = join(folder, 'tenants')
  const { next, heard } = watching(t, [{ file: join(folder, 'tenants.jsonl') }, { directory }])
  const change = next()
  writeFileSync(join(folder, 'neighbour.jsonl'), 'x')
  for (const name of [
    'notes.txt',
    '.a.yaml.swp',
    '.#a.yaml',
    '#a.yaml#',
    'a.yaml~',
    '4913',
    'sedXYZ',
  ])
    writeFileSync(join(directory, name), 'x')
  // Behind all of them: what they lead to would come first.
  await wait(500)
  writeFileSync(join(directory, 'new'), 'x')
  renameSync(join(directory, 'new'), join(directory, 'b.yaml'))
  t.same((await change).scopeOf(directory), new Set(['b.yaml']))
  t.equal(heard.length, 1)
})

await test('a tenants file written in place in two parts is never heard between them', async t => {
  const file = join(t.testdir({ 'tenants.jsonl': 'one\ntwo\nthree\n' }), 'tenants.jsonl')
  const { next } = watching(t, [{ file }])
  const change = next()
  // Ends with a line, and looks like a file without the third tenant.
  writeFileSync(file, 'one\ntwo\n')
  await wait(1_300)
  appendFileSync(file, 'thr')
  await wait(1_300)
  appendFileSync(file, 'ee\nfour\n')
  await change
  t.equal(readFileSync(file, 'utf8'), 'one\ntwo\nthree\nfour\n')
})

await test('a tenant’s file written in place in two parts is never heard between them', async t => {
  const directory = t.testdir({ 'a.yaml': 'id: old\n' })
  const path = join(directory, 'a.yaml')
  const { next } = watching(t, [{ directory }])
  const change = next()
  truncateSync(path)
  appendFileSync(path, 'id: new\n')
  await wait(150)
  appendFileSync(path, 'disabled: true\n')
  await change
  t.equal(readFileSync(path, 'utf8'), 'id: new\ndisabled: true\n')
})

await test('ten thousand files touched at once are one change', async t => {
  const directory = t.testdir({})
  for (let file = 0; file < 10_000; file += 1) writeFileSync(join(directory, `${file}.yaml`), 'x')
  const { next, heard } = watching(t, [{ directory }])
  const change = next()
  for (let file = 0; file < 10_000; file += 1)
    utimesSync(join(directory, `${file}.yaml`), file, file)
  const scope = (await change).scopeOf(directory)
  t.ok(scope === 'all' || scope?.size === 10_000)
  t.equal(heard.length, 1)
})

await test('events that the system dropped are made up for: everything is looked at', async t => {
  const folder = t.testdir({ a: {}, b: {} })
  const [a, b] = [join(folder, 'a'), join(folder, 'b')]
  for (let file = 0; file < 200; file += 1) writeFileSync(join(a, `${file}.yaml`), 'x')
  const { next, heard, log } = watching(t, [{ directory: a }, { directory: b }])
  const change = next()
  // More than the queue holds, while nobody reads it; the last one is among those that are lost.
  for (let round = 1; round <= 100; round += 1)
    for (let file = 0; file < 200; file += 1) utimesSync(join(a, `${file}.yaml`), round, round)
  writeFileSync(join(b, 'lost.yaml'), 'x')
  const touched = await change
  t.equal(touched.scopeOf(a), 'all')
  t.equal(touched.scopeOf(b), 'all')
  t.equal(heard.length, 1)
  t.equal(log.all('very many files changed at once: all tenant sources are read').length, 1)
})

await test('a file that never rests does not keep others from being heard', async t => {
  const directory = t.testdir({ 'restless.yaml': 'x' })
  const { next } = watching(t, [{ directory }])
  const change = next()
  const restless = setInterval(() => writeFileSync(join(directory, 'restless.yaml'), 'x'), 20)
  writeFileSync(join(directory, 'a.yaml'), 'x')
  t.same((await change).scopeOf(directory), new Set(['a.yaml']))
  clearInterval(restless)
})

await test('a file that is removed from a directory is heard', async t => {
  const directory = t.testdir({ 'a.yaml': 'x' })
  const { next } = watching(t, [{ directory }])
  const change = next()
  rmSync(join(directory, 'a.yaml'))
  t.same((await change).scopeOf(directory), new Set(['a.yaml']))
})

await test('a mounted directory that Kubernetes swaps through ..data is heard', async t => {
  const folder = t.testdir({
    v1: { 'tenants.jsonl': 'a\n' },
    v2: { 'tenants.jsonl': 'b\n' },
    mount: {},
  })
  const mount = join(folder, 'mount')
  symlinkSync(join(folder, 'v1'), join(mount, '..data'))
  symlinkSync(join('..data', 'tenants.jsonl'), join(mount, 'tenants.jsonl'))
  const file = join(mount, 'tenants.jsonl')
  const { next, heard } = watching(t, [{ file }])
  const change = next()
  symlinkSync(join(folder, 'v2'), join(mount, '..data_tmp'))
  renameSync(join(mount, '..data_tmp'), join(mount, '..data'))
  t.equal((await change).scopeOf(file), 'all')
  t.equal(readFileSync(file, 'utf8'), 'b\n')
  t.equal(heard.length, 1)
})

await test('a directory that is a link and is made to lead elsewhere is heard and followed', async t => {
  const folder = t.testdir({ v1: {}, v2: {} })
  const directory = join(folder, 'current')
  symlinkSync('v1', directory)
  const { next } = watching(t, [{ directory }])
  const change = next()
  symlinkSync('v2', join(folder, 'next'))
  renameSync(join(folder, 'next'), directory)
  t.equal((await change).scopeOf(directory), 'all')
  const inside = next()
  writeFileSync(join(folder, 'v2', 'a.yaml'), 'x')
  t.same((await inside).scopeOf(directory), new Set(['a.yaml']))
})

await test('a directory that is deleted and made anew is one change, when it is full again', async t => {
  const folder = t.testdir({ tenants: { 'a.yaml': 'x', 'b.yaml': 'x' } })
  const directory = join(folder, 'tenants')
  const { log, next, heard } = watching(t, [{ directory }])
  const change = next()
  const gone = log.next(LOST)
  rmSync(directory, { recursive: true })
  await gone
  mkdirSync(directory)
  for (const name of ['a.yaml', 'b.yaml']) {
    await wait(700)
    writeFileSync(join(directory, name), 'x')
  }
  t.equal((await change).scopeOf(directory), 'all')
  t.equal(heard.length, 1, 'not while its files were coming')
  const inside = next()
  writeFileSync(join(directory, 'c.yaml'), 'x')
  t.same((await inside).scopeOf(directory), new Set(['c.yaml']))
})

await test('a directory that is not there yet is waited for', async t => {
  const folder = t.testdir({})
  const { log } = watching(t, [{ directory: join(folder, 'later') }])
  t.match(log.lines, [{ msg: LOST }])
})

for (const code of ['ENOSPC', 'EMFILE']) {
  await test(`where the system has no watch left (${code}) a source is polled, and the log says why`, async t => {
    const folder = t.testdir({ 'tenants.jsonl': 'a\n', watched: {} })
    const file = join(folder, 'tenants.jsonl')
    const exhausted: typeof watch = () => {
      throw Object.assign(new Error(`${code}: no more of it`), { code })
    }
    const { log, next } = watching(t, [{ file }], { watch: exhausted, pollMs: 20 })
    const [line] = log.lines
    t.match(line, { level: 'error', directory: folder, err: { code } })
    t.match(line?.msg, /fs\.inotify\.max_user_watches.*every few seconds/)
    const change = next()
    writeFileSync(join(folder, 'neighbour'), 'x')
    writeFileSync(file, 'a\nb\n')
    t.equal((await change).scopeOf(file), 'all')
    const gone = next()
    rmSync(file)
    t.equal((await gone).scopeOf(file), 'all')
  })
}

await test('a watch that fails later is made anew', async t => {
  const directory = t.testdir({})
  const made: FSWatcher[] = []
  const recorded = ((path: string, listener: Parameters<typeof watch>[1]) => {
    const watcher = watch(path, listener as never)
    made.push(watcher)
    return watcher
  }) as typeof watch
  const { log, next } = watching(t, [{ directory }], { watch: recorded })
  const change = next()
  made[0]?.emit('error', new Error('gone wrong'))
  t.match(log.lines, [{ msg: LOST, directory }])
  t.equal((await change).scopeOf(directory), 'all', 'what happened meanwhile is not missed')
})
