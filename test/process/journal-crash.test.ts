/** A process that is killed in the middle of writing its journal leaves all that it has told anybody. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { readJournals } from '../support/journal-files.ts'

const ROUNDS = 10

for (let round = 1; round <= ROUNDS; round++)
  await test(`kill ${round} of ${ROUNDS}`, async t => {
    const folder = join(t.testdir({}), 'journal')
    mkdirSync(folder)
    const countFile = join(t.testdirName, 'count')
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, '../support/journal-loop.ts'), folder, countFile],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    )
    while ((statSync(countFile, { throwIfNoEntry: false })?.size ?? 0) < 8) await sleep(5)
    await sleep(Math.random() * 100)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const told = readFileSync(countFile).readDoubleLE(0)
    const [journal, ...others] = readJournals(folder)
    if (journal === undefined) throw new Error('no journal')
    t.equal(others.length, 0)
    t.same(journal.corrupt, [])
    const gap = journal.sequences.findIndex((sequence, index) => sequence !== index + 1)
    t.equal(gap, -1, 'no gap')
    const calls = journal.records.reduce((sum, record) => sum + record.calls, 0)
    t.ok(calls >= told, `${calls} journaled of ${told} told`)
    t.ok(calls <= told + 8, 'at most the turn that was not told yet')
  })
