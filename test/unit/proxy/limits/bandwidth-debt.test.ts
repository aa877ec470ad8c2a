import { test } from 'tap'
import { BandwidthDebt } from '../../../../src/proxy/limits/bandwidth-debt.ts'
import { Pacer } from '../../../../src/proxy/limits/pacer.ts'

const NONE = Number.POSITIVE_INFINITY

/** Bytes a second, and what there is to owe. */
function setUp(ingress: number, egress: number) {
  const pacers = { ingress: new Pacer(ingress), egress: new Pacer(egress) }
  return { ...pacers, debt: new BandwidthDebt(pacers.ingress, pacers.egress) }
}

await test('a call waits for the larger debt, and for none that is less than a millisecond', async t => {
  const { debt, ingress, egress } = setUp(1_000_000, 1_000_000)
  ingress.spend(100_500, 1_000)
  t.equal(debt.waitMs(1_000), 0)
  ingress.spend(4_500, 1_000)
  egress.spend(120_000, 1_000)
  t.equal(debt.waitMs(1_000), 20)
  t.equal(debt.waitMs(1_018), 2)
  t.equal(debt.waitMs(1_020), 0)
  t.notOk(setUp(NONE, NONE).debt.limited)
  t.ok(setUp(NONE, 1).debt.limited)
})

await test('calls that wait do so one behind the other, each for what calls have taken before', async t => {
  const { debt, egress } = setUp(NONE, 1_000_000)
  egress.spend(150_000, 1_000)
  t.equal(debt.waitMs(1_000), 50)
  t.equal(debt.claim(), 0, 'none was there before')
  debt.callEnded(1_000_000, 10_000)
  t.equal(debt.claim(), 10)
  t.equal(debt.waitMs(1_000), 60)
  debt.callEnded(0, 18_000)
  t.equal(debt.claim(), 11, 'a mean over the latest')
  t.equal(debt.waitMs(1_050), 21, 'behind those that wait, where the debt is paid too')
  debt.unclaim(10)
  debt.unclaim(11)
  t.equal(debt.waitMs(1_050), 0)
})

await test('of a long call only what one read brings counts for those that wait: the rest is paced as it goes', async t => {
  const { debt } = setUp(NONE, 65_536)
  debt.callEnded(0, 10_000_000)
  t.equal(debt.claim(), 1_000)
})

await test('a refusal names the bandwidth that is owed more, and says when the call fits', async t => {
  const { debt, ingress, egress } = setUp(1_000, 1_000)
  ingress.spend(1_100, 1_000)
  t.match(debt.refusal(1_000, 1_000), { limit: 'ingress', retryAfterMs: 1_000 })
  egress.spend(2_100, 1_000)
  t.match(debt.refusal(2_000, 1_000), { code: 'tenant_overloaded', limit: 'egress' })
  const { debt: one } = setUp(NONE, 1_000)
  t.match(one.refusal(1, 1_000), { limit: 'egress' }, 'also where only those that wait owe it')
})
