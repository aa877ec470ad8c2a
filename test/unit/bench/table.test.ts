import { test } from 'tap'
import type { BenchResult, PeerResult, Round } from '../../../bench/harness/result.ts'
import { notesOf, tableOf } from '../../../bench/harness/table.ts'

const ROUND: Round = {
  calls: 1_000,
  seconds: 1,
  cpuUs: 10,
  cpuAllUs: 11,
  clockError: 0.005,
  busy: 0.98,
  callsPerSecond: 1_000,
  p50Ms: 1,
  p99Ms: 2,
}

function spread(median: number): { median: number; min: number; max: number } {
  return { median, min: median - 0.1, max: median + 0.1 }
}

function measured(
  peer: string,
  ratio?: number,
  atLeast?: number,
  round: Round = ROUND,
): PeerResult {
  return {
    kind: 'measured',
    peer,
    version: '1.0',
    rounds: [round],
    cpuUs: spread(10),
    cpuAllUs: spread(11),
    callsPerSecond: spread(1_000),
    p50Ms: spread(1),
    p99Ms: spread(2),
    ...(ratio !== undefined && { ratio: spread(ratio) }),
    ...(atLeast !== undefined && { atLeast }),
  }
}

function resultOf(peers: PeerResult[], load = 0): BenchResult {
  const machine = { cpu: 'x', cpus: 2, kernel: '6', node: 'v26', commit: 'abc', load }
  const lanes = [{ lane: 'http1', title: 'a lane', peers }]
  return { started: '2026-01-01T00:00:00.000Z', machine, seconds: 5, rounds: 1, lanes }
}

await test('a ratio stands beside what it must reach', async t => {
  const table = tableOf(
    resultOf([measured('amt'), measured('fast', 0.9, 1), measured('slow', 5, 5)]),
  )
  t.match(table, /\| fast +\| 10\.0 +\| 0\.90 \(0\.80 to 1\.00\) +\| 1 MISSED +\|/)
  t.match(table, /\| slow +\| 10\.0 +\| 5\.00 \(4\.90 to 5\.10\) +\| 5 reached +\|/)
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
  const lengths = tableOf(resultOf([measured('amt'), measured('other', 1, 1)]))
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
})
