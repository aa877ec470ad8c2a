/** Streams of a session by number, however long some of them last. */
import { test } from 'tap'
import { Http2Stream } from '../../../../src/codec/http2/stream.ts'
import { StreamTable } from '../../../../src/codec/http2/stream-table.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

const SEED = Number(process.env['STREAMS_SEED'] ?? Date.now() % 2 ** 31)

function stream(id: number): Http2Stream<undefined> {
  return new Http2Stream<undefined>(id, 100, 100)
}

await test('each stream is found by its number until it is over, old ones and new ones', async t => {
  const random = new SeededRandom(SEED)
  t.comment(`STREAMS_SEED=${SEED}`)
  for (const most of [3, 100, 1_000]) {
    const table = new StreamTable<undefined>()
    const model = new Map<number, Http2Stream<undefined>>()
    t.equal(table.get(1), undefined)
    for (let id = 1; id < 40_000; id += 2) {
      const added = stream(id)
      table.add(added)
      model.set(id, added)
      // The first ones stay to the end.
      const over = [...model.values()].slice(2)
      if (model.size >= most) {
        const gone = random.pick(over)
        if (!table.remove(gone, false)) t.fail(`${gone.id} is not there`)
        model.delete(gone.id)
        if (table.get(gone.id) !== undefined) t.fail(`${gone.id} is still there`)
        if (table.remove(gone, false)) t.fail(`${gone.id} is over twice`)
      }
      const asked = random.pick([...model.values()])
      if (table.get(asked.id) !== asked) t.fail(`${asked.id} is not found`)
      if (table.size !== model.size) t.fail(`${table.size} instead of ${model.size}`)
      if (id > 3_000 && most === 1_000) break
    }
    for (const each of model.values()) {
      each.blocked = true
      each.sendWindow = each.id % 3
    }
    t.same(
      table.blocked().map(({ id }) => id),
      [...model.keys()].filter(id => id % 3 > 0),
    )
    t.ok(table.shiftSendWindows(10))
    t.ok([...model.values()].every(({ id, sendWindow }) => sendWindow === 10 + (id % 3)))
    t.notOk(table.shiftSendWindows(2 ** 31 - 1))
  }
})
