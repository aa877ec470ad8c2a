import { test } from 'tap'
import { MEMORY_FIGURES, type MemorySample } from '../../../bench/isolation/memory-watch.ts'
import {
  growthOf,
  type SoakStep,
  soakFaults,
  soakTable,
} from '../../../bench/isolation/soak-figures.ts'

const MIB = 2 ** 20

function memoryOf(value: number, files: number): MemorySample {
  return {
    ...Object.fromEntries(MEMORY_FIGURES.map(figure => [figure, value * MIB])),
    'worker files': files,
  } as MemorySample
}

function stepsOf(mib: readonly number[], more: Partial<SoakStep> = {}): SoakStep[] {
  return mib.map((value, index) => ({
    seconds: (index + 1) * 10,
    memory: memoryOf(value, 50),
    restarts: 0,
    quiet: { times: [1, 2], late: [], errors: {} },
    ...more,
  }))
}

await test('memory is flat where the last third is as the middle one, whatever the first was', t => {
  t.same(soakFaults(stepsOf([10, 50, 200, 200, 200, 200])), [])
  t.same(soakFaults(stepsOf([200, 200, 100, 100, 126, 126])), [], 'a tenth and 16 MiB more')
  const grown = soakFaults(stepsOf([100, 100, 100, 100, 127, 127]))
  t.equal(grown.length, MEMORY_FIGURES.length - 1)
  t.match(grown[0], /worker resident is 127\.0 MiB, above 126\.0 MiB/)
  t.end()
})

await test('one step that is off is no growth', t => {
  t.same(soakFaults(stepsOf([100, 100, 100, 100, 100, 100, 100, 900, 100])), [])
  t.end()
})

await test('open files are looked at as well', t => {
  const steps = stepsOf([1, 1, 1]).map((step, index) => ({
    ...step,
    memory: memoryOf(1, index === 2 ? 156 : 50),
  }))
  t.same(soakFaults(steps), ['worker files is 156, above 155'])
  t.end()
})

await test('a failed call and a dead worker are told', t => {
  const quiet = { times: [], late: [], errors: { lost: 2, 'status 503': 1 } }
  const steps = stepsOf([1, 1, 1], { quiet, restarts: 2 })
  t.same(soakFaults(steps), ['9 quiet calls failed', '2 workers died'])
  t.match(soakTable(steps), /\| +9 \||\| 3 \|/)
  t.end()
})

await test('too few steps are no verdict', t => {
  t.throws(() => growthOf(stepsOf([1, 1])), RangeError)
  t.end()
})

await test('the table has a row for each part of the time, and a verdict for each figure', t => {
  const rows = soakTable(stepsOf(Array.from({ length: 36 }, () => 64))).split('\n')
  t.equal(rows.length, 2 + 12 + 1)
  t.match(rows[2], /^\| 0\.5 \| 64\.0 \|/)
  t.match(rows.at(-1), /^\| flat \| yes \|/)
  t.end()
})
