import { test } from 'tap'
import { echoFrames, maskedFrame, plainFrame } from '../../../bench/harness/websocket-frame.ts'

/** RFC 6455 §5.7. */
const MASK = Buffer.from('37fa213d', 'hex')
const HELLO = Buffer.from('Hello')

await test('frames are those of the RFC', async t => {
  t.equal(plainFrame(HELLO).toString('hex'), '820548656c6c6f')
  t.equal(maskedFrame(HELLO, MASK).toString('hex'), '828537fa213d7f9f4d5158')
})

await test('an echo is what was sent, of whole frames alone', async t => {
  const two = Buffer.concat([maskedFrame(HELLO, MASK), maskedFrame(Buffer.from('you'), MASK)])
  const first = maskedFrame(HELLO, MASK).length
  for (let end = 0; end < first; end += 1)
    t.match(echoFrames(two.subarray(0, end)), { taken: 0, echo: Buffer.alloc(0) })
  t.same(echoFrames(two.subarray(0, two.length - 1)), { taken: first, echo: plainFrame(HELLO) })
  const both = Buffer.concat([plainFrame(HELLO), plainFrame(Buffer.from('you'))])
  t.same(echoFrames(two), { taken: two.length, echo: both })
})
