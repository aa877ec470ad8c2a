import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'tap'
import { flatCopy } from '../../../../src/codec/latin1.ts'
import { VerifiedCache } from '../../../../src/proxy/credential/verified-cache.ts'

await test('keeps what was set, and counts hits and misses', async t => {
  const cache = new VerifiedCache<number>({ maxEntries: 10, maxKeyBytes: 1_000 })
  t.equal(cache.get('a'), undefined)
  cache.set('a', 1)
  cache.set('a', 2)
  t.equal(cache.get('a'), 2)
  t.equal(cache.size, 1)
  t.equal(cache.keyBytes, 1)
  t.same([cache.hits, cache.misses], [1, 1])
  cache.delete('a')
  cache.delete('never there')
  t.equal(cache.get('a'), undefined)
  t.equal(cache.keyBytes, 0)
})

await test('tells keys apart that differ in the last character only', async t => {
  const cache = new VerifiedCache<number>({ maxEntries: 10, maxKeyBytes: 100_000 })
  const long = 'x'.repeat(16_000)
  cache.set(`${long}a`, 1)
  t.equal(cache.get(`${long}b`), undefined)
  t.equal(cache.get(long), undefined)
})

await test('never holds more entries or key bytes than allowed', async t => {
  const cache = new VerifiedCache<number>({ maxEntries: 10, maxKeyBytes: 400 })
  for (let i = 0; i < 1_000; i += 1) {
    cache.set(`${i}`.padEnd(1 + (i % 97), '.'), i)
    if (i % 3 === 0) cache.get(`${i - 1}`.padEnd(1 + ((i - 1) % 97), '.'))
    if (cache.size > 10 || cache.keyBytes > 400)
      t.fail(`${cache.size} entries, ${cache.keyBytes} bytes`)
  }
  cache.set('y'.repeat(201), 1)
  t.equal(cache.get('y'.repeat(201)), undefined, 'longer than a generation')
  cache.clear()
  t.same([cache.size, cache.keyBytes], [0, 0])
})

await test('keeps what is used and drops what is not', async t => {
  const cache = new VerifiedCache<string>({ maxEntries: 10, maxKeyBytes: 1_000 })
  cache.set('used', 'value')
  cache.set('unused', 'value')
  for (let i = 0; i < 100; i += 1) {
    cache.set(`filler ${i}`, 'value')
    t.equal(cache.get('used'), 'value')
  }
  t.equal(cache.get('unused'), undefined)
})

await test('keeps no text that Latin-1 cannot hold, since two texts could become one', async t => {
  const cache = new VerifiedCache<number>({ maxEntries: 10, maxKeyBytes: 1_000 })
  cache.set('\u0141', 1)
  t.equal(cache.get('\u0141'), undefined)
  t.equal(cache.get('A'), undefined)
  cache.set('\u00e9', 2)
  t.equal(cache.get('\u00e9'), 2)
  t.equal(flatCopy('\u0141'), undefined)
})

await test('two credentials that it finds by the same print push each other out, and are not taken for each other', async t => {
  const cache = new VerifiedCache<string>({ maxEntries: 10, maxKeyBytes: 1_000 })
  const [one, other] = ['first-of-12345678', 'other-of-12345678']
  cache.set(one, 'one')
  t.equal(cache.get(other), undefined)
  cache.set(other, 'other')
  t.equal(cache.get(other), 'other')
  t.equal(cache.get(one), undefined)
  t.same([cache.size, cache.keyBytes, cache.takeDropped()], [1, other.length, 1])
  cache.delete(one)
  t.equal(cache.get(other), 'other', 'only its own entry is deleted')
  cache.delete(other)
  t.same([cache.size, cache.keyBytes], [0, 0])
})

await test('does not keep the head alive that a credential was cut from', async t => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const heads = 100
  const headBytes = 256 * 1024
  const cache = new VerifiedCache<number>({ maxEntries: heads * 4, maxKeyBytes: 1_000_000 })
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < heads; i += 1) {
    const head = Buffer.alloc(headBytes, `authorization ${i} `).toString('latin1')
    cache.set(head.slice(10, 200 + i), i)
  }
  collectGarbage()
  const kept = process.memoryUsage().heapUsed - before
  t.equal(cache.size, heads)
  t.ok(kept < (heads * headBytes) / 10, `${kept} bytes`)
})
