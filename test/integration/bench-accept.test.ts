/** The benchmark of the ways to share an address runs through, and finds what the choice of AMT rests on. */
import { t as root, test } from 'tap'
import { measureAccept } from '../../bench/accept/measure.ts'
import { acceptTable } from '../../bench/accept/table.ts'

root.setTimeout(240_000)

await test('npm run bench:accept, with little time', async t => {
  const options = { workers: 2, seconds: 1, rounds: 1, ends: 2 }
  const figures = await measureAccept({ ...options, progress: line => t.comment(line) })
  t.comment(acceptTable(figures))
  t.same(
    figures.map(({ way }) => way),
    ['shared', 'hand-over', 'reuse-port'],
  )
  for (const { way, plain, handshakes, staying, drains, kills } of figures) {
    t.ok((plain[0]?.perSecond ?? 0) > (handshakes[0]?.perSecond ?? 0), `${way}: work costs time`)
    t.ok(
      (staying[0] ?? 0) >= 1 && (staying[0] ?? 0) <= 2,
      `${way}: between all even and all in one`,
    )
    for (const [{ ends, visits } = { ends: 0, visits: 0 }] of [drains, kills]) {
      t.equal(ends, 2)
      t.ok(visits > 0)
    }
  }
  const [shared, handOver] = figures
  t.equal(shared?.drains[0]?.lost, 0, 'a drain of a worker that shares the socket loses nobody')
  t.equal(shared?.drains[0]?.refused, 0)
  t.ok((handOver?.plain[0]?.primaryUs ?? 0) > 0, 'a hand-over costs the primary something')
})
