import { test } from 'tap'
import { LineTable } from '../../../src/config/line-table.ts'

/** Lines of three bytes, which begin at `start`. */
function tableOf(count: number, start = 0): LineTable {
  const table = new LineTable()
  for (let line = 0; line < count; line += 1) {
    table.starts.push(start + line * 3)
    table.entries.push(undefined)
  }
  return table
}

await test('lines take the place of others, few or very many, and those behind them begin elsewhere', t => {
  for (const [first, count, next] of [
    [0, 0, 2],
    [5, 1, 1],
    [5, 3, 0],
    [10, 0, 1],
    [2, 4, 1_024],
    [2, 4, 1_025],
    [9, 1, 500_000],
    [0, 10, 3],
  ] as const) {
    const table = tableOf(10)
    const shift = (next - count) * 3
    const former = table.exchange(first, count, tableOf(next, first * 3), shift)
    const name = `${count} from ${first} on for ${next}`
    t.same(
      [table.starts, table.entries.length],
      [tableOf(10 + next - count).starts, table.length],
      name,
    )
    t.same(former.starts, tableOf(count, first * 3).starts, name)
    table.exchange(first, next, former, -shift)
    t.same(table.starts, tableOf(10).starts, `${name}, and back`)
  }
  t.end()
})

await test('the line at a place, or the next one, is found', t => {
  const table = tableOf(4)
  t.same(
    [0, 1, 3, 9, 10, 99].map(position => table.from(position)),
    [0, 1, 1, 3, 4, 4],
  )
  t.equal(new LineTable().from(0), 0)
  t.end()
})
