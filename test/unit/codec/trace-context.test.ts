import { test } from 'tap'
import { parseTraceparent, traceIdOf, traceparentText } from '../../../src/codec/trace-context.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'

await test('the trace id of a traceparent, where it is valid', async t => {
  for (const value of [
    `00-${TRACE}-${PARENT}-01`,
    `01-${TRACE}-${PARENT}-00-more`,
    `cc-${TRACE}-${PARENT}-ff`,
  ])
    t.equal(traceIdOf(value), TRACE, value)
  for (const value of [
    '',
    `ff-${TRACE}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}-01-more`,
    `00-${'0'.repeat(32)}-${PARENT}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}`,
    `00-${TRACE}"-${PARENT}-01`,
    `01-${TRACE}-${PARENT}-01more`,
    ` 00-${TRACE}-${PARENT}-01`,
  ])
    t.equal(traceIdOf(value), '', value)
})

await test('a traceparent is written as it was read, in version 00 and with the flags that are known', async t => {
  for (const flags of ['00', '01', '02', '03']) {
    const text = `00-${TRACE}-${PARENT}-${flags}`
    const parent = parseTraceparent(text)
    t.match(parent, { traceId: TRACE, spanId: PARENT, sampled: flags === '01' || flags === '03' })
    t.equal(parent && traceparentText(parent), text)
  }
  const later = parseTraceparent(`cc-${TRACE}-${PARENT}-ff-more`)
  t.equal(later && traceparentText(later), `00-${TRACE}-${PARENT}-03`)
})
