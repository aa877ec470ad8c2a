import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { BackgroundFile } from '../../../src/runtime/background-file.ts'
import { eventually } from '../../support/proxy-lab.ts'

const MIB = 1024 * 1024

function opened(
  t: Test,
  where: string,
  maxBytes = MIB,
): { file: BackgroundFile; failures: Error[] } {
  const failures: Error[] = []
  const file = new BackgroundFile({ where, maxBytes, failed: error => failures.push(error) })
  t.teardown(async () => file.end(0))
  return { file, failures }
}

const linesIn = (path: string): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1)
const numbers = (count: number): string[] => Array.from({ length: count }, (_, n) => `line ${n}`)

/** A pipe with a name, and what its reader has heard once it has begun to read. */
function pipe(t: Test): { path: string; read: () => { text: () => string } } {
  const path = join(t.testdir(), 'pipe')
  execFileSync('mkfifo', [path])
  return {
    path,
    read: () => {
      let text = ''
      const stream = createReadStream(path, 'latin1').on('data', chunk => {
        text += chunk as string
      })
      t.teardown(() => stream.destroy())
      return { text: () => text }
    },
  }
}

/** Keeps `path` open for reading and reads nothing. */
async function mute(t: Test, path: string): Promise<() => void> {
  const holder = spawn('sh', ['-c', 'exec 3<>"$0"; echo open; read _', path], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  await once(holder.stdout, 'data')
  const end = (): void => {
    holder.kill('SIGKILL')
  }
  t.teardown(end)
  return end
}

await test('lines arrive whole and in their order, in folders that are made', async t => {
  const path = join(t.testdir(), 'logs', 'today', 'access.log')
  const { file, failures } = opened(t, path)
  const wanted = numbers(20_000)
  const taken = wanted.map(line => file.write(`${line}\n`))
  t.ok(taken.every(Boolean))
  t.ok(file.waitingBytes > 0, 'nothing was written by whoever wrote a line')
  await file.end(5_000)
  t.same(linesIn(path), wanted)
  t.equal(statSync(path).mode & 0o777, 0o640, 'it is not for everybody')
  t.same([file.dropped, file.errors, file.waitingBytes, failures.length], [0, 0, 0, 0])
})

await test('a few lines are written with the next flush', async t => {
  const path = join(t.testdir(), 'access.log')
  const { file } = opened(t, path)
  await eventually(() => existsSync(path))
  file.write('one\n')
  file.flush()
  await eventually(() => linesIn(path).length === 1)
  t.same(linesIn(path), ['one'])
})

await test('a reader that does not read holds up nobody, what waits is bounded, and lines are dropped whole', async t => {
  const { path, read } = pipe(t)
  const letGo = await mute(t, path)
  const { file } = opened(t, path, 256 * 1024)
  const line = `${'x'.repeat(99)}\n`
  const longest = { ms: 0 }
  for (let sent = 0; sent < 10_000; sent++) {
    const before = performance.now()
    file.write(line)
    longest.ms = Math.max(longest.ms, performance.now() - before)
    if (sent % 1_000 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  t.ok(longest.ms < 1_000, `no write took longer than ${longest.ms} ms`)
  t.ok(file.waitingBytes <= 256 * 1024, 'no more waits than may')
  t.ok(file.dropped > 5_000, `${file.dropped} of 10000 lines were dropped`)
  const { dropped } = file
  const reader = read()
  await file.end(5_000)
  letGo()
  const wanted = 10_000 - dropped
  await eventually(() => reader.text().length === wanted * line.length)
  t.equal(reader.text(), line.repeat(wanted), 'the others arrive when it reads again, each whole')
})

await test('what is not written in time is dropped and counted at the end', async t => {
  const { path, read } = pipe(t)
  await mute(t, path)
  const { file } = opened(t, path)
  for (let sent = 0; sent < 5_000; sent++) file.write(`${'y'.repeat(99)}\n`)
  const before = performance.now()
  await file.end(50)
  t.ok(performance.now() - before < 2_000, 'the end does not wait for it')
  t.ok(file.writing, 'a write is still under way')
  t.ok(file.dropped >= 4_300 && file.dropped <= 5_000, `${file.dropped} were dropped`)
  // Lets the write come to its end, and with it this process.
  read()
  await eventually(() => !file.writing)
})

await test('lines of several writers to one pipe stand between each other, never in each other', async t => {
  const { path, read } = pipe(t)
  const reader = read()
  const writers = ['a', 'b', 'c'].map(name => ({ name, ...opened(t, path, 64 * MIB) }))
  for (let sent = 0; sent < 3_000; sent++)
    for (const { name, file } of writers) file.write(`${name.repeat(50 + (sent % 900))}\n`)
  for (const { file } of writers) void file.end(20_000)
  await eventually(() => reader.text().split('\n').length === 9_001)
  const lines = reader.text().split('\n').slice(0, -1)
  t.equal(lines.length, 9_000)
  t.same(
    lines.filter(line => !/^(a+|b+|c+)$/.test(line)),
    [],
  )
})

/** What `script` says of `file`, which is its stdout, and what comes out of the pipe that this is. */
function asStdout(script: string, reader: string): { said: unknown; heard: string } {
  const source = new URL('../../../src/runtime/background-file.ts', import.meta.url).href
  const whole = `
    const { BackgroundFile } = await import('${source}')
    const file = new BackgroundFile({ where: 'stdout', maxBytes: 4e6, failed: () => {} })
    const say = what => process.stderr.write(JSON.stringify(what))
    ${script}`
  const { stdout, stderr } = spawnSync(
    'sh',
    ['-c', `"$0" --input-type=module -e "$1" | ${reader}`, process.execPath, whole],
    { encoding: 'utf8', timeout: 30_000 },
  )
  return { said: JSON.parse(stderr), heard: stdout }
}

await test('to a pipe on stdout lines are written at once, and no thread is asked for it', t => {
  const { said, heard } = asStdout(
    `file.write('one\\n'); file.flush(); say([file.waitingBytes, file.writing])`,
    'cat',
  )
  t.same(said, [0, false])
  t.equal(heard, 'one\n')
  t.end()
})

await test('a pipe on stdout that is full is not waited for, and gets the rest when there is room', t => {
  const { said, heard } = asStdout(
    `for (let n = 0; n < 3_000; n++) file.write('line '.padEnd(100, 'x') + n + '\\n')
    const waited = file.waitingBytes
    await file.end(20_000)
    say([waited > 100_000, file.dropped, file.waitingBytes])`,
    '(sleep 1; cat)',
  )
  t.same(said, [true, 0, 0])
  const wanted = Array.from({ length: 3_000 }, (_, n) => `${'line '.padEnd(100, 'x')}${n}\n`)
  t.equal(heard, wanted.join(''))
  t.end()
})

await test('reopen goes on in a new file and loses nothing', async t => {
  const path = join(t.testdir(), 'access.log')
  const { file } = opened(t, path)
  const wanted = numbers(3_000)
  for (const [index, line] of wanted.entries()) {
    file.write(`${line}\n`)
    if (index % 1_000 !== 500) continue
    file.flush()
    await eventually(() => existsSync(path) && !file.writing)
    renameSync(path, `${path}.${index}`)
    file.reopen()
  }
  await file.end(5_000)
  t.same([500, 1_500, 2_500].flatMap(at => linesIn(`${path}.${at}`)).concat(linesIn(path)), wanted)
})

await test('a file that cannot be opened is tried again, and its lines wait', async t => {
  const folder = t.testdir()
  writeFileSync(join(folder, 'logs'), 'no folder')
  const path = join(folder, 'logs', 'access.log')
  const { file, failures } = opened(t, path)
  file.write('one\n')
  file.flush()
  await eventually(() => failures.length > 0)
  t.match(failures, [{ code: /EEXIST|ENOTDIR/ }])
  t.ok(file.errors >= 1)
  rmSync(join(folder, 'logs'))
  await eventually(() => existsSync(path) && linesIn(path).length === 1)
  t.same(linesIn(path), ['one'])
  t.equal(failures.length, 1, 'an outage is told once')
})

await test('a folder that vanishes and comes back', async t => {
  const folder = join(t.testdir(), 'logs')
  const path = join(folder, 'access.log')
  const { file, failures } = opened(t, path)
  await eventually(() => existsSync(path))
  rmSync(folder, { recursive: true })
  writeFileSync(folder, 'in the way')
  file.reopen()
  await eventually(() => failures.length > 0)
  file.write('one\n')
  rmSync(folder)
  mkdirSync(folder)
  await eventually(() => existsSync(path))
  file.write('two\n')
  await file.end(5_000)
  t.equal(linesIn(path).at(-1), 'two')
  t.equal(file.dropped, 0)
})

await test('a disk that is full: errors are counted, told once, and nothing waits for it', async t => {
  const { file, failures } = opened(t, '/dev/full', 1_000)
  for (let sent = 0; sent < 100; sent++) file.write(`${'z'.repeat(99)}\n`)
  file.flush()
  await eventually(() => file.errors > 0)
  t.match(failures, [{ code: 'ENOSPC' }])
  t.equal(file.dropped, 90)
  await file.end(0)
  t.equal(file.dropped, 100)
})

await test('a process that ends at once writes what waits for a file', async t => {
  const path = join(t.testdir(), 'access.log')
  const { file } = opened(t, path)
  await eventually(() => existsSync(path) && !file.writing)
  for (const line of numbers(3)) file.write(`${line}\n`)
  file.endNow()
  t.same(linesIn(path), numbers(3))
})
