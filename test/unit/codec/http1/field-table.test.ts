/** Places of names, as fields of HTTP/2 have them. */
import { test } from 'tap'
import { DROPPED, FieldTable, FORWARDED } from '../../../../src/codec/http1/field-table.ts'

await test('each name has its place, at the first time and later, whatever else is asked for', async t => {
  const table = new FieldTable([{ name: 'content-type', forward: true }], ['x-amt-'])
  const slot = table.slotOf('content-type')
  const places = (): number[] =>
    [
      'content-type',
      'content_type',
      'x-amt-tenant',
      'x_amt_tenant',
      'x-other',
      'y'.repeat(100),
    ].map(name => table.placeOf(name))
  const expected = [slot, DROPPED, DROPPED, DROPPED, FORWARDED, FORWARDED]
  t.same(places(), expected)
  t.same(places(), expected)
  for (let turn = 0; turn < 5_000; turn += 1) table.placeOf(`x-${turn}`)
  t.same(places(), expected)
})
