import { test } from 'tap'
import type { OperatorOrder } from '../../../../src/proxy/ipc.ts'
import { TenantDrainDesk } from '../../../../src/proxy/primary/tenant-drain-desk.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { LogLines } from '../../../support/log-lines.ts'

interface Desk {
  readonly desk: TenantDrainDesk
  readonly clock: FakeClock
  readonly told: OperatorOrder[]
}

function newDesk(): Desk {
  const clock = new FakeClock()
  const told: OperatorOrder[] = []
  const desk = new TenantDrainDesk({
    clock,
    logger: new LogLines().logger,
    tell: order => told.push(order),
    activeOf: () => 0,
    isTenant: tenant => tenant !== 'removed',
  })
  return { desk, clock, told }
}

await test('what another process has drained stays drained, without tenants that nobody has any more', async t => {
  const former = newDesk()
  former.desk.drain('acme', 1_000, 5_000)
  former.desk.drain('removed', 1_000, 1_000)
  const { desk, clock } = newDesk()
  clock.ms += 2_000
  desk.inherit(former.desk.drained)
  t.same(desk.tenants, ['acme'])
  t.match(desk.stateOf('acme'), { since: former.desk.stateOf('acme')?.since, connections: 0 })
  t.equal(desk.stateOf('acme')?.status, 'draining', 'the other one may have connections')
  clock.ms += 3_000
  t.equal(desk.stateOf('acme')?.status, 'drained', 'it has cut them by now')
})

await test('what was said to the other process while this one started is made up for', async t => {
  const former = newDesk()
  former.desk.drain('acme', 1_000, 1_000)
  former.desk.drain('globex', 1_000, 1_000)
  const { desk, clock, told } = newDesk()
  desk.inherit(former.desk.drained)
  former.desk.resume('acme')
  former.desk.drain('initech', 3_000, 9_000)
  told.length = 0
  clock.ms += 4_000
  desk.inherit(former.desk.drained)
  t.same(told, [
    { kind: 'resume-tenant', tenant: 'acme' },
    { kind: 'drain-tenant', tenant: 'initech', callsMs: 5_000, tunnelsMs: 5_000 },
  ])
  t.same(desk.tenants, ['globex', 'initech'])
})
