import { test } from 'tap'
import { DEFAULT_SESSION } from '../../../src/codec/http2/session-options.ts'
import { http1 } from '../../../src/config/http1-schema.ts'
import { http2, sessionOptionsOf } from '../../../src/config/http2-schema.ts'

await test('without a word the codec has its own defaults, and deployments can push nothing', t => {
  const { downstream, upstream } = sessionOptionsOf({
    http1: http1.parse({}),
    http2: http2.parse({}),
  })
  t.same(downstream, DEFAULT_SESSION)
  t.same(upstream, { ...DEFAULT_SESSION, streams: 0 })
  t.end()
})

await test('what is configured reaches both ends of the codec', t => {
  const { downstream, upstream } = sessionOptionsOf({
    http1: http1.parse({ maxFields: 50 }),
    http2: http2.parse({
      maxStreams: 7,
      streamWindow: '128KiB',
      connectionWindow: '2MiB',
      maxHeaderList: '256KiB',
    }),
  })
  const both = {
    streamWindow: 128 * 1024,
    sessionWindow: 2 * 1024 * 1024,
    headers: { listSize: 256 * 1024, fields: 50 },
    // Whoever may send such a list can: it takes 32 frames of the usual size.
    frames: { blockSize: 512 * 1024, continuations: 32 },
  }
  t.match(downstream, { ...both, streams: 7 })
  t.match(upstream, { ...both, streams: 0 })
  t.end()
})

await test('pings, age and streams of a connection can be switched off', t => {
  const off = { pingInterval: 'off', maxConnectionAge: 'off', maxConnectionStreams: 'off' }
  t.match(http2.parse(off), { pingInterval: 0, maxConnectionAge: 0, maxConnectionStreams: 0 })
  t.match(http2.parse({}), {
    pingInterval: 30_000,
    pingTimeout: 10_000,
    maxConnectionAge: 0,
    maxConnectionStreams: 0,
  })
  t.end()
})
