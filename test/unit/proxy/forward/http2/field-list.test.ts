/** One array for the fields of one section after the other. */
import { test } from 'tap'
import { HeaderField, INDEXED } from '../../../../../src/codec/http2/header-field.ts'
import { FieldList } from '../../../../../src/proxy/forward/http2/field-list.ts'

const [A, B, C] = ['a', 'b', 'c'].map(name => new HeaderField(name, '1', INDEXED)) as [
  HeaderField,
  HeaderField,
  HeaderField,
]

await test('each section has its own fields, however many the one before had', async t => {
  const list = new FieldList()
  for (const fields of [[A, B, C], [B], [], [C, A], [A, B, C, A]]) {
    list.begin()
    for (const field of fields) list.add(field)
    t.same(list.end(), fields)
  }
})

await test('many at once come behind those that are there', async t => {
  const list = new FieldList()
  list.begin()
  list.add(C)
  list.addAll([A, B])
  t.same(list.end(), [C, A, B])
})

await test('a field that is left from another section is not kept', async t => {
  const list = new FieldList()
  list.addAll([A, B])
  list.begin()
  t.equal(list.end().length, 0)
})
