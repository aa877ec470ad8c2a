/** Places of names, as fields of HTTP/2 have them. */
import { test } from 'tap'
import { DROPPED, FieldTable, FORWARDED } from '../../../../src/codec/http1/field-table.ts'
import { FieldName, fieldName } from '../../../../src/codec/http2/field-name.ts'

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
    ].map(name => table.placeOf(fieldName(name)))
  const expected = [slot, DROPPED, DROPPED, DROPPED, FORWARDED, FORWARDED]
  t.same(places(), expected)
  t.same(places(), expected)
  for (let turn = 0; turn < 5_000; turn += 1) table.placeOf(fieldName(`x-${turn}`))
  t.same(places(), expected)
})

await test('names with the same hash have each its own place', t => {
  const table = new FieldTable([{ name: 'content-type', forward: true }], ['x-amt-'])
  const known = new FieldName('content-type')
  const other = { text: 'x-amt-tenant', hash: known.hash }
  for (let turn = 0; turn < 3; turn += 1) {
    t.equal(table.placeOf(known), table.slotOf('content-type'))
    t.equal(table.placeOf(other), DROPPED)
  }
  t.end()
})
