import { test } from 'tap'
import {
  childrenOf,
  cpuSeconds,
  openFileLimit,
  parseProcessStat,
  residentBytes,
} from '../../../bench/harness/process-stat.ts'

const STAT =
  '4711 (a (b) c) S 42 4711 4711 0 -1 4194560 100 200 0 0 250 125 7 9 20 0 11 0 100 1000 200'

await test('user and system time are summed, and the time of children left out', async t => {
  t.same(parseProcessStat(STAT), { parent: 42, cpuSeconds: 3.75 })
})

await test('what is no stat of a process is refused', async t => {
  for (const text of ['', 'x', '4711 (node) S 42'])
    t.throws(() => parseProcessStat(text), /not the stat/)
})

await test('the CPU time of running processes is read from the system', async t => {
  const before = cpuSeconds([process.pid])
  t.ok(before >= 0)
  t.equal(cpuSeconds([process.pid, process.pid]) >= before * 2, true)
  t.throws(() => cpuSeconds([process.pid, 2 ** 30]), 'a process that has ended has no figure')
})

await test('the children of a process are found', async t => {
  t.ok(childrenOf(process.ppid).includes(process.pid))
})

await test('resident memory and the limit of open files are read from the system', async t => {
  const { rss } = process.memoryUsage()
  const bytes = residentBytes([process.pid])
  t.ok(bytes > rss / 2 && bytes < rss * 2, `${bytes} beside ${rss}`)
  t.throws(() => residentBytes([2 ** 30]), 'a process that has ended has no figure')
  t.ok(openFileLimit() > 0)
})
