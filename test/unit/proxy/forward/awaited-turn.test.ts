import { test } from 'tap'
import { AwaitedTurn } from '../../../../src/proxy/forward/awaited-turn.ts'
import type { Entry } from '../../../../src/proxy/overload/fair-scheduler.ts'
import type { Overload } from '../../../../src/proxy/overload/overload.ts'
import type { QueuedCall } from '../../../../src/proxy/overload/tenant-share.ts'
import type { RoutedVerdict } from '../../../../src/proxy/tenant/tenant.ts'
import type { TenantRuntime } from '../../../../src/proxy/worker/tenant-runtimes.ts'

const VERDICT = { kind: 'routed' } as RoutedVerdict
const RUNTIME = {} as TenantRuntime

/** A call, and a busy worker that does with it what the test says. */
function setUp(entry: Entry) {
  const heard: unknown[] = []
  const left: QueuedCall[] = []
  const overload = {
    enter: () => entry,
    leave: (call: QueuedCall) => left.push(call),
  } as unknown as Overload
  const turn = new AwaitedTurn(overload, {
    turnCame: verdict => heard.push(verdict),
    turnLost: () => heard.push('lost'),
  })
  return { turn, heard, left }
}

await test('a call goes on with the verdict with which it began to wait, whatever tenants there are by then', t => {
  const { turn, heard, left } = setUp('queued')
  t.equal(turn.enter(VERDICT, RUNTIME), 'queued')
  turn.admitted()
  t.equal(heard[0], VERDICT)
  t.notOk(turn.leave(), 'it waits no longer')
  t.same(left, [])
  t.end()
})

await test('a call that leaves does so once, and hears nothing', t => {
  const { turn, heard, left } = setUp('queued')
  turn.enter(VERDICT, RUNTIME)
  t.ok(turn.leave())
  t.notOk(turn.leave())
  t.same(left, [turn])
  t.same(heard, [])
  t.end()
})

await test('one that loses its place hears so, and one that was let in at once waits for nothing', t => {
  const { turn, heard } = setUp('queued')
  turn.enter(VERDICT, RUNTIME)
  turn.shed()
  t.same(heard, ['lost'])
  t.notOk(turn.leave())
  const other = setUp('admitted')
  t.equal(other.turn.enter(VERDICT, RUNTIME), 'admitted')
  t.notOk(other.turn.leave())
  t.end()
})
