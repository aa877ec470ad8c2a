/** One object for the same field in tables of many connections. */
import { test } from 'tap'
import {
  HeaderField,
  INDEXED,
  type Indexing,
  NEVER,
} from '../../../../src/codec/http2/header-field.ts'
import { HpackDecoder } from '../../../../src/codec/http2/hpack-decoder.ts'
import { HpackEncoder } from '../../../../src/codec/http2/hpack-encoder.ts'
import { SharedFields } from '../../../../src/codec/http2/shared-fields.ts'

function field(name: string, value: string, indexing: Indexing = INDEXED): HeaderField {
  return new HeaderField(name, value, indexing)
}

await test('what says the same is the first that said it, and nothing else is', t => {
  const shared = new SharedFields()
  const first = field('x-color', 'red')
  t.equal(shared.same(first), first)
  t.equal(shared.same(field('x-color', 'red')), first)
  for (const other of [
    field('x-color', 'blue'),
    field('x-colour', 'red'),
    field('x-color', 'red', NEVER),
  ])
    t.equal(shared.same(other), other)
  t.end()
})

await test('it keeps a field for each of its places, however many come', t => {
  const shared = new SharedFields()
  const fields = Array.from({ length: 10_000 }, (_, number) => field('x-number', String(number)))
  for (const one of fields) shared.same(one)
  // The last first: who asks for one that is not there any more takes the place of another.
  const kept = fields.toReversed().filter(one => shared.same(field('x-number', one.value)) === one)
  t.ok(kept.length > 0 && kept.length <= 1_024, `${kept.length} are kept`)
  t.end()
})

await test('what is large is not kept', t => {
  const shared = new SharedFields()
  const large = field('x-large', 'x'.repeat(1_000))
  t.equal(shared.same(large), large)
  const again = field('x-large', 'x'.repeat(1_000))
  t.equal(shared.same(again), again)
  t.end()
})

await test('tables of two connections hold the same object', t => {
  const decoded = [1, 2].map(() => {
    const block = Buffer.alloc(100)
    const end = new HpackEncoder().encode([field('x-shared', 'by two')], block, 0)
    const decoder = new HpackDecoder({ tableSize: 4_096, listSize: 16_384, fields: 100 })
    t.ok(decoder.decode(block, 0, end))
    return decoder.fields[0]
  })
  t.match(decoded[0], { name: 'x-shared', value: 'by two' })
  t.equal(decoded[0], decoded[1])
  t.end()
})
