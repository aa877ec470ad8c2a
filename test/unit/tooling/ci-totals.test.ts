/** The line that a build is judged by: it must never say that all is well when nothing ran or something failed. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'tap'

const TOTALS = join(import.meta.dirname, '../../../.ci/totals')

interface Case {
  readonly name: string
  readonly tap: string
  readonly failedSteps?: number
  readonly line: string
  readonly status: 0 | 1
}

const CASES: readonly Case[] = [
  {
    name: 'all passed',
    tap: 'ok 1 - a\n# { total: 3, pass: 3 }\n# time=5ms',
    line: '3 passed, 0 failed',
    status: 0,
  },
  {
    name: 'one failed',
    tap: 'not ok 1 - a\n# { total: 4, pass: 3, fail: 1 }\n',
    line: '3 passed, 1 failed',
    status: 1,
  },
  {
    name: 'some skipped',
    tap: '# { total: 4, pass: 3, skip: 1 }\n',
    line: '3 passed, 0 failed, 1 skipped',
    status: 0,
  },
  {
    name: 'todo is skipped',
    tap: '# { total: 9, pass: 6, fail: 0, todo: 1, skip: 2 }\n',
    line: '6 passed, 0 failed, 3 skipped',
    status: 0,
  },
  {
    name: 'everything skipped',
    tap: '# { total: 2, pass: 0, skip: 2 }\n',
    line: '0 passed, 1 failed, 2 skipped',
    status: 1,
  },
  { name: 'nothing ran', tap: '', line: '0 passed, 1 failed', status: 1 },
  {
    name: 'cut off before the totals',
    tap: '# Subtest: a\n    ok 1 - a\n',
    line: '0 passed, 1 failed',
    status: 1,
  },
  {
    name: 'the totals of a subtest are not the totals',
    tap: '    # { total: 9, pass: 9 }\n',
    line: '0 passed, 1 failed',
    status: 1,
  },
  {
    name: 'the last totals count',
    tap: '# { total: 1, pass: 1 }\n# { total: 2, pass: 1, fail: 1 }\n',
    line: '1 passed, 1 failed',
    status: 1,
  },
  {
    name: 'a file failed outside its tests',
    tap: 'not ok 1 - a\n# { total: 3, pass: 3 }\n',
    line: '3 passed, 1 failed',
    status: 1,
  },
  {
    name: 'the command failed',
    tap: '# { total: 3, pass: 3 }\nBail out! npm test failed\n',
    line: '3 passed, 1 failed',
    status: 1,
  },
  {
    name: 'a step beside the tests failed',
    tap: '# { total: 3, pass: 3 }\n',
    failedSteps: 1,
    line: '3 passed, 1 failed',
    status: 1,
  },
]

await test('the last line and the exit code say what happened', async t => {
  for (const { name, tap, failedSteps = 0, line, status } of CASES) {
    const folder = t.testdir({ 'results.tap': tap })
    const result = spawnSync(TOTALS, [join(folder, 'results.tap'), String(failedSteps)], {
      encoding: 'utf8',
    })
    t.equal(result.stdout, `${line}\n`, name)
    t.equal(result.status, status, `${name}: exit code`)
  }
})

await test('no result file at all is a failure', async t => {
  const result = spawnSync(TOTALS, ['/nonexistent/results.tap', '0'], { encoding: 'utf8' })
  t.equal(result.stdout, '0 passed, 1 failed\n')
  t.equal(result.status, 1)
})
