import fc from 'fast-check'
import { test } from 'tap'
import { limitFields } from '../../../../src/config/limits-schema.ts'
import { CHUNK_CHARS } from '../../../../src/proxy/ipc.ts'
import { tenantMessages } from '../../../../src/proxy/primary/tenant-stream.ts'

const limits = { concurrency: Object.keys(limitFields).length, connections: 1, buffered: 1 }
/** Of the sizes that matter: many fit into a message, two do, one does just so. */
const texts = fc.array(
  fc
    .constantFrom(1, 40, CHUNK_CHARS / 2, CHUNK_CHARS / 2 + 1, CHUNK_CHARS)
    .map(size => 'x'.repeat(size)),
  { maxLength: 12 },
)

await test('a change in messages is that change, in order, and none is larger than it may be', async t => {
  fc.assert(
    fc.property(texts, texts, (changed, removed) => {
      const messages = [...tenantMessages({ generation: 7, limits, changed, removed })]
      t.same(
        messages.flatMap(message => message.changed).map(text => text.length),
        changed.map(text => text.length),
      )
      t.equal(messages.flatMap(message => message.removed).length, removed.length)
      t.same(
        messages.map(({ last }) => last),
        [...messages.slice(1).map(() => false), true],
        'the last one says so, and no other',
      )
      for (const message of messages) {
        const chars = [...message.changed, ...message.removed].reduce(
          (sum, text) => sum + text.length,
          0,
        )
        t.ok(chars <= CHUNK_CHARS)
        t.match(message, { kind: 'tenants', generation: 7, limits })
      }
    }),
    { numRuns: 50 },
  )
})

await test('a change of nothing is one message', async t => {
  t.same(
    [...tenantMessages({ generation: 2, limits, changed: [], removed: [] })],
    [{ kind: 'tenants', generation: 2, limits, changed: [], removed: [], last: true }],
  )
})
