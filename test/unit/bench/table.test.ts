import { test } from 'tap'
import { CPU_A_CALL, CPU_A_GIB, type Figure } from '../../../bench/harness/figure.ts'
import type { BenchResult, PeerResult, Round } from '../../../bench/harness/result.ts'
import { notesOf, tableOf } from '../../../bench/harness/table.ts'
import type { Target } from '../../../bench/harness/target.ts'

const ROUND: Round = {
  units: 1_000,
  seconds: 1,
  cpuSeconds: 0.01,
  residentBytes: 0,
  figure: 10,
  figureAll: 11,
  rate: 1_000,
  clockError: 0.005,
  busy: 0.98,
  p50Ms: 1,
  p99Ms: 2,
  note: undefined,
}

function spread(median: number): { median: number; min: number; max: number } {
  return { median, min: median - 0.1, max: median + 0.1 }
}

function measured(peer: string, ratio?: number, target?: Target, round: Round = ROUND): PeerResult {
  return {
    kind: 'measured',
    peer,
    version: '1.0',
    rounds: [round],
    figure: spread(10),
    figureAll: spread(11),
    rate: spread(1_000),
    p50Ms: spread(1),
    p99Ms: spread(2),
    ...(ratio !== undefined && { ratio: spread(ratio) }),
    ...(target && { target }),
  }
}

function resultOf(peers: PeerResult[], load = 0, figure: Figure = CPU_A_CALL): BenchResult {
  const machine = { cpu: 'x', cpus: 2, kernel: '6', node: 'v26', commit: 'abc', load }
  const lanes = [{ lane: 'http1', title: 'a lane', figure, peers }]
  return { started: '2026-01-01T00:00:00.000Z', machine, seconds: 5, rounds: 1, lanes }
}

await test('a ratio stands beside what it must reach', async t => {
  const table = tableOf(
    resultOf([
      measured('amt'),
      measured('fast', 0.9, { text: '1', reached: false }),
      measured('slow', 5, { text: '5', reached: true }),
    ]),
  )
  t.match(table, /\| fast +\| 10\.0 CPU µs a call +\| 0\.90 \(0\.80 to 1\.00\) +\| 1 MISSED +\|/)
  t.match(table, /\| slow +\| 10\.0 CPU µs a call +\| 5\.00 \(4\.90 to 5\.10\) +\| 5 reached +\|/)
})

await test('who is absent or was wrong has a row of its own', async t => {
  const table = tableOf(
    resultOf([
      { kind: 'absent', peer: 'nginx', reason: 'not installed' },
      { kind: 'failed', peer: 'haproxy', version: '1', reason: 'a wrong answer\nwith details' },
    ]),
  )
  t.match(table, /\| nginx +\| absent: not installed/)
  t.match(table, /\| haproxy +\| NO RESULT: a wrong answer +\|/)
})

await test('all rows are of one length', async t => {
  const lengths = tableOf(resultOf([measured('amt'), measured('other', 1)]))
    .split('\n')
    .map(line => line.length)
  t.equal(new Set(lengths).size, 1)
})

await test('a busy machine and a round that was too short are told', async t => {
  t.same(notesOf(resultOf([measured('amt')])), [])
  const short = measured('amt', undefined, undefined, { ...ROUND, clockError: 0.04 })
  const notes = notesOf(resultOf([short], 3))
  t.match(notes[0], /load average was 3\.00/)
  t.match(notes[1], /http1: amt: .* 4\.0 %/)
  const untold = resultOf([short], 0, { ...CPU_A_CALL, fromCpu: false })
  t.same(notesOf(untold), [], 'a figure that does not come from that clock')
})

await test('what a load has to say of its last round is told', async t => {
  const told = measured('amt', undefined, undefined, { ...ROUND, note: 'the load was late' })
  t.same(notesOf(resultOf([told])), ['http1: amt: the load was late'])
})

await test('each figure stands with its unit, and what was done with its own', async t => {
  const table = tableOf(resultOf([measured('amt')], 0, CPU_A_GIB))
  t.match(table, /\| 10 CPU ms a GiB +\|.*\| 1000\.00 GB a CPU s +\|/)
})

await test('without latencies their cells are empty', async t => {
  const {
    p50Ms: _,
    p99Ms: __,
    ...rest
  } = measured('amt') as Extract<PeerResult, { kind: 'measured' }>
  t.match(tableOf(resultOf([rest])), /calls\/s +\| +\| +\| 98 % +\|/)
})
