import { test } from 'tap'
import { type CpuProfile, selfTimeLines, selfTimes } from '../../../bench/harness/cpu-profile.ts'

function node(id: number, functionName: string, url = '', lineNumber = -1): CpuProfile['nodes'][0] {
  return { id, callFrame: { functionName, url, lineNumber } }
}

const PROFILE: CpuProfile = {
  nodes: [
    node(1, '(idle)'),
    node(2, 'read', 'file:///root/src/a.ts', 9),
    node(3, '(program)'),
    node(4, 'read', 'file:///root/src/a.ts', 9),
    node(5, '', 'node:net', 0),
  ],
  samples: [1, 2, 3, 4, 5, 1],
  timeDeltas: [1_000, 300, 500, 100, 100, 9_000],
}

await test('time is summed by function, wherever it was called from, and idle time left out', async t => {
  t.same(selfTimes(PROFILE, '/root'), [
    { name: '(program)', place: '', share: 0.5 },
    { name: 'read', place: 'src/a.ts:10', share: 0.4 },
    { name: '(anonymous)', place: 'node:net:1', share: 0.1 },
  ])
})

await test('a figure is shared out over the functions', async t => {
  const figure = { median: 20, unit: 'CPU µs a call', digits: 1 }
  t.same(selfTimeLines(selfTimes(PROFILE, '/root'), 2, figure), [
    'self time, of 20.0 CPU µs a call:',
    '  50.0 %     10.00  (program)  ',
    '  40.0 %      8.00  read       src/a.ts:10',
  ])
})
