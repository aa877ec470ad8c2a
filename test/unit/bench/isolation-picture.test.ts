import { test } from 'tap'
import { withFigures } from '../../../bench/isolation/document.ts'
import { figuresOf, type IsolationResult, type Round } from '../../../bench/isolation/figures.ts'
import { isolationPicture } from '../../../bench/isolation/picture.ts'
import { isolationNotes, isolationTable } from '../../../bench/isolation/table.ts'

function rowOf(
  scenario: string,
  peer: string,
  times: number[],
): IsolationResult['figures'][number] {
  const quiet = { times, late: [0.9], errors: times.length === 0 ? { lost: 1 } : {} }
  const round: Round = { quiet, noise: { bytes: 2 ** 21, 200: 3 }, cpuSeconds: 0.25, seconds: 1 }
  return figuresOf({ scenario, peer }, [round])
}

const RESULT: IsolationResult = {
  started: '2026-11-26T07:00:00.000Z',
  machine: { cpu: 'a CPU', cpus: 2, kernel: '6.1', node: 'v26.0.0', commit: 'abc', load: 1.5 },
  seconds: 1,
  rounds: 1,
  rate: 100,
  versions: { amt: '1', haproxy: '2' },
  absent: { envoy: 'absent: not installed' },
  figures: [
    rowOf('alone', 'amt', [0.2, 0.3]),
    rowOf('alone', 'haproxy', [0.1, 0.2]),
    rowOf('flood', 'amt', [0.4, 12]),
    rowOf('flood', 'haproxy', [0.2, 0.5]),
    rowOf('hung', 'amt', []),
    rowOf('hung', 'haproxy', [0.2, 0.5]),
  ],
}

await test('the picture has a panel a scenario, and a curve for each proxy that answered', t => {
  const picture = isolationPicture(RESULT)
  t.notMatch(picture, /NaN|Infinity|undefined/)
  t.equal(picture.match(/font-weight="bold"/g)?.length, 2)
  const curves = [...picture.matchAll(/<title>(\w+, \w+)<\/title>/g)].map(([, title]) => title)
  t.same(curves, ['amt, alone', 'haproxy, flood', 'amt, flood', 'amt, alone', 'haproxy, hung'])
  const opened = picture.match(/<(?!\/)[^>]*[^/]>/g)?.length
  t.equal(opened, picture.match(/<\/\w+>/g)?.length, 'what is opened is closed')
  t.end()
})

await test('the table says what does not hold, and who is better', t => {
  const rows = isolationTable(RESULT).split('\n')
  t.equal(new Set(rows.map(({ length }) => length)).size, 1)
  t.match(
    rows[4],
    /\| flood +\| amt +\| 0\.40 +\| 12\.00 .*\| p99 above 2\.30 ms +\| haproxy +\| 25 % +\| 2 MiB, 200: 3/,
  )
  t.match(rows[5], /\| +\| haproxy .*\| holds +\| +\|/)
  t.match(rows[6], /1 failed/)
  t.same(
    [...isolationNotes(RESULT)],
    [
      'envoy: absent: not installed',
      'the load average was 1.50: others were at work on the machine',
      'quiet calls were made 0.90 ms late (99th percentile): the load is part of the figures',
      'hung: amt: 1 quiet calls failed: lost',
    ],
  )
  t.end()
})

await test('figures replace those of before, and nothing else', t => {
  const begin = '<!-- figures: written by npm run bench:isolation -- --write -->'
  const end = '<!-- end of the figures -->'
  const document = `before\n${begin}\nold\n${end}\nafter\n`
  const written = withFigures(document, 'new')
  t.equal(written, `before\n${begin}\n\nnew\n\n${end}\nafter\n`)
  t.equal(withFigures(written, 'newer'), `before\n${begin}\n\nnewer\n\n${end}\nafter\n`)
  t.throws(() => withFigures('nothing', 'new'), /no place for figures/)
  t.end()
})
