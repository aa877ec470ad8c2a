import { test } from 'tap'
import { TurnSize } from '../../../../src/proxy/overload/turn-size.ts'

/** Turns of calls that take `callMs` each, and of other things that take `otherMs`. */
function settle(size: TurnSize, callMs: number, otherMs = 0, turns = 60): number {
  for (let turn = 0; turn < turns; turn += 1) size.observe(otherMs + size.calls * callMs, true)
  return size.calls
}

await test('a turn comes to take as long as it should, whatever a call takes', t => {
  for (const callMs of [0.0055, 0.019, 0.05]) {
    const calls = settle(new TurnSize(1), callMs)
    t.ok(Math.abs(calls * callMs - 1) <= callMs, `${calls} calls of ${callMs} ms`)
  }
  t.end()
})

await test('what else a turn does is part of it, and some calls are begun whatever that is', t => {
  const size = new TurnSize(2)
  const calls = settle(size, 0.02, 1)
  t.ok(Math.abs(calls - 50) <= 1, `${calls} calls beside 1 ms of other things`)
  t.equal(settle(size, 0.02, 500), 8)
  t.equal(settle(size, 0.02, 0), 100, 'and comes back')
  t.end()
})

await test('turns that had less to do than they might show nothing', t => {
  const size = new TurnSize(1)
  const { calls } = size
  for (let turn = 0; turn < 100; turn += 1) size.observe(0.01, false)
  t.equal(size.calls, calls)
  size.observe(1.25, false)
  t.ok(size.calls < calls, 'but a long one does')
  t.end()
})

await test('one very long turn is no trend: it halves the size and no more', t => {
  const size = new TurnSize(1)
  const calls = settle(size, 0.01)
  size.observe(10_000, true)
  t.equal(size.calls, Math.floor(calls / 2))
  t.end()
})

await test('turns that take no time grow to an end', t => {
  t.equal(settle(new TurnSize(1), 0), 2_048)
  t.end()
})
