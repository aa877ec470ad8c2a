/** A file of lines, changed in every way, beside a plain copy of it. */
import { execFileSync, spawn } from 'node:child_process'
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import type { FileResult } from '../../../src/config/files.ts'
import { KeptFile } from '../../../src/config/kept-file.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

const MOST = 16 * 1024 * 1024

function valueOf<T>(result: FileResult<T>): T {
  if ('fault' in result) throw new Error(result.fault)
  return result.value
}

function anyLine(random: SeededRandom): string {
  // Lines that are alike, empty ones, and ones that are as long as what is compared at a time.
  if (random.chance(0.01)) return `${'long '.repeat(random.between(1, 120_000))}\n`
  return `${random.pick(['', 'a', 'a', 'aa', 'ab', 'b', '\r'])}\n`
}

function edited(lines: readonly string[], random: SeededRandom): string[] {
  const next = [...lines]
  for (let edits = random.below(3); edits >= 0; edits -= 1) {
    const at = random.below(next.length + 1)
    const added = Array.from({ length: random.below(4) }, () => anyLine(random))
    next.splice(at, random.below(4), ...added)
  }
  return next
}

await test('whatever becomes of a file, what is different is whole lines, and leads to it and back', t => {
  const seed = Number(process.env.KEPT_SEED ?? Date.now() % 2 ** 32)
  t.comment(`KEPT_SEED=${seed}`)
  const random = new SeededRandom(seed)
  const path = join(t.testdir({}), 'lines')
  const kept = new KeptFile()
  let lines: string[] = []
  let former = ''
  for (let step = 0; step < 150; step += 1) {
    lines = random.chance(0.02) ? [] : edited(lines, random)
    const text = lines.join('')
    // Some editors leave the last line without its end.
    const content = random.chance(0.2) ? text.slice(0, -1) : text
    writeFileSync(path, content)
    const stretch = valueOf(kept.difference(path, MOST))
    const context = `step ${step} of KEPT_SEED=${seed}`
    const isStart = (at: number, of: string): boolean =>
      at === 0 || at === of.length || of[at - 1] === '\n'
    if (!isStart(stretch.start, former) || !isStart(stretch.end, former))
      t.fail(`a line is cut, ${context}`)
    const back = kept.replace(stretch)
    if (kept.bytes.toString() !== content) t.fail(`not what it is now, ${context}`)
    kept.replace(back)
    if (kept.bytes.toString() !== former) t.fail(`not what it was, ${context}`)
    kept.replace(valueOf(kept.difference(path, MOST)))
    if (kept.bytes.toString() !== content) t.fail(`the second time, ${context}`)
    former = content
  }
  t.pass('each step')
  t.end()
})

await test('of one line of many no more than the line is read anew, also where it takes more room', t => {
  const path = join(t.testdir({}), 'lines')
  const kept = new KeptFile()
  const lines = Array.from({ length: 100_000 }, (_, index) => `line ${index} ${'.'.repeat(20)}\n`)
  writeFileSync(path, lines.join(''))
  kept.replace(valueOf(kept.difference(path, MOST)))
  const memory = kept.bytes.buffer
  for (const index of [0, 50_000, 99_999]) {
    for (const line of [`line ${index} changed\n`, `${'long'.repeat(10_000)}\n`]) {
      lines[index] = line
      writeFileSync(path, lines.join(''))
      const stretch = valueOf(kept.difference(path, MOST))
      t.equal(stretch.bytes.toString(), line)
      kept.replace(stretch)
      t.ok(kept.bytes.equals(Buffer.from(lines.join(''))))
      t.equal(kept.bytes.buffer, memory, 'and the others stay where they are')
    }
  }
  const { start, end, bytes } = valueOf(kept.difference(path, MOST))
  t.same([start, end, bytes.length], [kept.bytes.length, kept.bytes.length, 0], 'nothing')
  t.end()
})

await test('what is too large, or gone, or is no file is told, and changes nothing', t => {
  const folder = t.testdir({ lines: 'one\ntwo\n' })
  const path = join(folder, 'lines')
  const kept = new KeptFile()
  kept.replace(valueOf(kept.difference(path, 8)))
  writeFileSync(path, 'one\ntwo\nthree\n')
  t.same(kept.difference(path, 8), { fault: 'is larger than 8 bytes' })
  truncateSync(path, 0)
  const { start, end, bytes } = valueOf(kept.difference(path, 8))
  t.same([start, end, bytes.length], [0, 8, 0])
  t.same(kept.difference(folder, 8), { fault: 'is a directory, must be a file' })
  t.same(kept.difference(join(folder, 'none'), 8), { fault: 'does not exist' })
  t.equal(kept.bytes.toString(), 'one\ntwo\n')
  t.end()
})

await test('a pipe is read once, from its beginning', async t => {
  const path = join(t.testdir({}), 'pipe')
  execFileSync('mkfifo', [path])
  const kept = new KeptFile()
  for (const text of ['one\n', 'one\ntwo\n']) {
    const writer = spawn('sh', ['-c', `printf '${text}' > "$0"`, path])
    const ended = new Promise(resolve => writer.once('exit', resolve))
    kept.replace(valueOf(kept.difference(path, MOST)))
    t.equal(kept.bytes.toString(), text)
    t.equal(await ended, 0)
  }
})
