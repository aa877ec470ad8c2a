/** Faults that the fuzzers have found. */
import { test } from 'tap'
import { DATA, PRIORITY, PROTOCOL_ERROR, RST_STREAM } from '../../../../src/codec/http2/frame.ts'
import { CLIENT_PREFACE } from '../../../../src/codec/http2/frame-writer.ts'
import { HeaderField, INDEXED } from '../../../../src/codec/http2/header-field.ts'
import { frame } from '../../../support/http2/frames.ts'
import { Heard, SessionPair } from '../../../support/http2/session-pair.ts'

const REQUEST = [
  [':method', 'POST'],
  [':scheme', 'https'],
  [':authority', 'a.example'],
  [':path', '/'],
].map(([name = '', value = '']) => new HeaderField(name, value, INDEXED))

await test('what is at fault for its stream alone may not come before the settings either', async t => {
  const pair = new SessionPair()
  pair.server.receive(CLIENT_PREFACE, 0)
  pair.server.receive(frame(PRIORITY, 1, 'too long'), 0)
  t.same(pair.failures, [`${PROTOCOL_ERROR}: settings have to come first`])
})

await test('what was on its way to a stream that we have reset counts by frames, not by pieces', async t => {
  const pair = new SessionPair({ frameBudget: { burst: 10, rate: 0 } })
  pair.client.request(new Heard(), REQUEST, false)
  pair.settle()
  const [stream] = pair.requests
  if (stream === undefined) return
  pair.server.reset(stream)
  const late = frame(DATA, 1, 'x'.repeat(1_000))
  for (const octet of late) pair.server.receive(Buffer.of(octet), 0)
  t.same(pair.failures, [])
  for (let frames = 1; frames < 10; frames++) pair.server.receive(late, 0)
  t.match(pair.failures, [/too many frames that bring nothing/])
  t.equal(Buffer.concat(pair.server.take()).includes(frame(RST_STREAM, 1, '\0\0\0\b')), true)
})
