import fc from 'fast-check'
import { test } from 'tap'
import { Source, type SourceRefusal, Sources } from '../../../../src/proxy/limits/sources.ts'

const OFF = {
  connections: 0,
  newConnections: 0,
  maxHandshakes: 0,
  newHandshakes: 0,
  badCredentials: 0,
  remembered: 1_000,
}

/** One that must be let in. */
function entered(result: Source | SourceRefusal): Source {
  if (typeof result === 'string') throw new Error(result)
  return result
}

await test('connections at once: those of an address and of no other, and a place comes back', t => {
  const sources = new Sources({ ...OFF, connections: 2 }, 1)
  const first = entered(sources.enter('a', 0))
  t.equal(sources.enter('a', 0), first, 'one object an address')
  t.equal(sources.enter('a', 0), 'source_connections')
  t.type(sources.enter('b', 0), Source)
  sources.leave(first, 0)
  t.equal(sources.enter('a', 0), first)
  t.end()
})

await test('new connections: ten seconds of them at once, then the rate, also behind connections that were closed', t => {
  const sources = new Sources({ ...OFF, newConnections: 2 }, 1)
  for (let i = 0; i < 20; i++) sources.leave(entered(sources.enter('a', 0)), 0)
  t.equal(sources.enter('a', 0), 'source_connection_rate')
  t.equal(sources.enter('a', 499), 'source_connection_rate', 'a refused one takes nothing')
  t.type(sources.enter('a', 500), Source)
  t.equal(sources.enter('a', 500), 'source_connection_rate')
  t.type(sources.enter('b', 0), Source)
  t.end()
})

await test('limits are divided among the workers, and never become none', t => {
  const sources = new Sources({ ...OFF, connections: 3, newConnections: 1 }, 8)
  const one = entered(sources.enter('a', 0))
  t.equal(sources.enter('a', 0), 'source_connections')
  sources.leave(one, 0)
  t.equal(sources.enter('a', 0), 'source_connection_rate')
  t.end()
})

await test('with other workers the share changes, and what was used up stays used up', t => {
  const sources = new Sources({ ...OFF, connections: 4, newConnections: 1, badCredentials: 1 }, 1)
  const source = entered(sources.enter('a', 0))
  for (let i = 0; i < 10; i++) source.badCredential(0)
  entered(sources.enter('a', 0))
  sources.share(2)
  t.equal(sources.enter('a', 0), 'source_connections', 'two of four')
  sources.leave(source, 0)
  t.equal(entered(sources.enter('a', 0)), source)
  t.equal(source.badCredential(11_000), true, 'what was taken is twice as dear')
  t.equal(source.badCredential(12_000), false)
  sources.share(1)
  t.equal(entered(sources.enter('a', 12_000)), source)
  t.equal(sources.enter('a', 12_000), source)
  t.equal(sources.enter('a', 12_000), 'source_connections')
  t.end()
})

await test('handshakes at once of an address are bounded', t => {
  const source = entered(new Sources({ ...OFF, maxHandshakes: 2 }, 8).enter('a', 0))
  t.same(
    [1, 2, 3].map(() => source.beginHandshake(0)),
    [undefined, undefined, 'source_handshakes'],
  )
  source.endHandshake()
  t.equal(source.beginHandshake(0), undefined)
  t.end()
})

await test('new handshakes: ten seconds of them at once, then the rate, also over new connections', t => {
  const sources = new Sources({ ...OFF, newHandshakes: 2 }, 1)
  const shake = (now: number): string | undefined => {
    const source = entered(sources.enter('a', now))
    const refusal = source.beginHandshake(now)
    if (refusal === undefined) source.endHandshake()
    sources.leave(source, now)
    return refusal
  }
  for (let i = 0; i < 20; i++) t.equal(shake(0), undefined)
  t.equal(shake(0), 'source_handshake_rate')
  t.equal(shake(499), 'source_handshake_rate', 'a refused one takes nothing')
  t.equal(shake(500), undefined)
  t.equal(shake(500), 'source_handshake_rate')
  sources.share(2)
  t.equal(shake(1_000), 'source_handshake_rate', 'what was taken is twice as dear')
  t.equal(shake(10_999), 'source_handshake_rate')
  t.equal(shake(11_000), undefined)
  t.equal(sources.size, 1, 'what was used up is remembered')
  t.end()
})

await test('what a connection would be refused for can be asked before there is one', t => {
  const limits = { connections: 2, newConnections: 1, maxHandshakes: 1, newHandshakes: 1 }
  const sources = new Sources({ ...OFF, ...limits }, 1)
  t.equal(sources.refusal('a', true, 0), undefined, 'nobody knows it')
  t.equal(sources.size, 0)
  const source = entered(sources.enter('a', 0))
  t.equal(sources.refusal('a', true, 0), undefined)
  source.beginHandshake(0)
  t.equal(sources.refusal('a', true, 0), 'source_handshakes')
  t.equal(sources.refusal('a', false, 0), undefined, 'of a connection without TLS')
  source.endHandshake()
  for (let i = 0; i < 9; i++) {
    source.beginHandshake(0)
    source.endHandshake()
  }
  t.equal(sources.refusal('a', true, 0), 'source_handshake_rate')
  entered(sources.enter('a', 0))
  t.equal(sources.refusal('a', false, 0), 'source_connections')
  sources.leave(source, 0)
  for (let i = 0; i < 8; i++) {
    t.equal(sources.refusal('a', false, 0), undefined)
    t.equal(sources.refusal('a', false, 0), undefined, 'to ask takes nothing')
    sources.leave(entered(sources.enter('a', 0)), 0)
  }
  t.equal(sources.refusal('a', false, 0), 'source_connection_rate')
  t.equal(sources.enter('a', 0), 'source_connection_rate')
  t.equal(sources.refusal('b', true, 0), undefined)
  t.end()
})

await test('bad credentials: ten seconds of them, then the rate, also over a new connection', t => {
  const sources = new Sources({ ...OFF, badCredentials: 1 }, 1)
  const source = entered(sources.enter('a', 0))
  for (let i = 0; i < 10; i++) t.equal(source.badCredential(0), false)
  t.equal(source.badCredential(0), true)
  sources.leave(source, 0)
  const again = entered(sources.enter('a', 500))
  t.equal(again.badCredential(500), true)
  t.equal(again.badCredential(1_000), false)
  t.end()
})

await test('what is off bounds nothing', t => {
  const sources = new Sources(OFF, 4)
  for (let i = 0; i < 50_000; i++) {
    const source = entered(sources.enter('a', 0))
    if (source.beginHandshake(0) !== undefined || source.badCredential(0)) t.fail('a limit')
  }
  t.equal(sources.size, 1)
  t.end()
})

await test('the table is bounded: the address that left first is forgotten, and that is counted', t => {
  const sources = new Sources({ ...OFF, newConnections: 0.001 }, 1)
  const kept = entered(sources.enter('stays', 0))
  for (let i = 0; i < 5_000; i++) sources.leave(entered(sources.enter(`${i}`, 0)), 0)
  t.equal(sources.size, 1_001)
  t.equal(sources.takeForgotten(), 4_000)
  t.equal(sources.takeForgotten(), 0)
  t.equal(sources.enter('4999', 0), 'source_connection_rate', 'the last one is known')
  t.type(sources.enter('0', 0), Source, 'the first one is not')
  t.equal(sources.enter('stays', 0), 'source_connection_rate', 'one with a connection is')
  t.equal(kept.connections, 1)
  t.end()
})

await test('an address that has used up nothing is not kept', t => {
  const sources = new Sources({ ...OFF, newConnections: 1_000 }, 1)
  for (let i = 0; i < 5_000; i++) sources.leave(entered(sources.enter(`${i}`, i)), i + 1)
  t.equal(sources.size, 0)
  for (let i = 0; i < 500; i++) sources.leave(entered(sources.enter(`${i}`, 6_000)), 6_000)
  for (let i = 0; i < 250; i++) sources.leave(entered(sources.enter('b', 7_000)), 7_000)
  t.ok(sources.size <= 1, 'those at rest go with the connections of others')
  t.equal(sources.takeForgotten(), 0)
  t.end()
})

await test('whatever comes and goes: counts are those of the open connections, and the table is bounded', t => {
  const step = fc.record({
    name: fc.integer({ min: 0, max: 2_000 }),
    closes: fc.boolean(),
    ms: fc.integer({ min: 0, max: 50 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 3_000, minLength: 500, size: 'max' }), steps => {
      const sources = new Sources({ ...OFF, connections: 3, newConnections: 0.2 }, 1)
      const open: Source[] = []
      const counts = new Map<string, number>()
      let now = 0
      for (const { name, closes, ms } of steps) {
        now += ms
        const oldest = closes ? open.shift() : undefined
        if (oldest !== undefined) {
          sources.leave(oldest, now)
          counts.set(oldest.name, (counts.get(oldest.name) ?? 0) - 1)
        }
        const result = sources.enter(`${name}`, now)
        if (typeof result === 'string') continue
        open.push(result)
        counts.set(result.name, (counts.get(result.name) ?? 0) + 1)
        if (result.connections !== counts.get(result.name)) return false
      }
      const present = [...counts.values()].filter(count => count > 0).length
      return sources.size <= present + 1_000
    }),
    { numRuns: 20 },
  )
  t.end()
})
