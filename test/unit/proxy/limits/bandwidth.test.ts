import { test } from 'tap'
import { Bandwidth } from '../../../../src/proxy/limits/bandwidth.ts'

const NONE = Number.POSITIVE_INFINITY

await test('a call waits for the larger debt, and for none that is less than a millisecond', async t => {
  const bandwidth = new Bandwidth({ ingress: 1_000_000, egress: 1_000_000 })
  bandwidth.received(100_500, 1_000)
  t.equal(bandwidth.waitMs(1_000), 0)
  bandwidth.received(4_500, 1_000)
  bandwidth.sent(120_000, 1_000)
  t.equal(bandwidth.waitMs(1_000), 20)
  t.equal(bandwidth.waitMs(1_018), 2)
  t.equal(bandwidth.waitMs(1_020), 0)
})

await test('calls that wait do so one behind the other, each for what calls have taken before', async t => {
  const bandwidth = new Bandwidth({ ingress: NONE, egress: 1_000_000 })
  bandwidth.sent(150_000, 1_000)
  t.equal(bandwidth.waitMs(1_000), 50)
  t.equal(bandwidth.claim(), 0, 'none was there before')
  bandwidth.callEnded(1_000_000, 10_000)
  t.equal(bandwidth.claim(), 10)
  t.equal(bandwidth.waitMs(1_000), 60)
  bandwidth.callEnded(0, 18_000)
  t.equal(bandwidth.claim(), 11, 'a mean over the latest')
  t.equal(bandwidth.waitMs(1_050), 21, 'behind those that wait, where the debt is paid too')
  bandwidth.unclaim(10)
  bandwidth.unclaim(11)
  t.equal(bandwidth.waitMs(1_050), 0)
})

await test('of a long call only what one read brings counts for those that wait: the rest is paced as it goes', async t => {
  const bandwidth = new Bandwidth({ ingress: NONE, egress: 65_536 })
  bandwidth.callEnded(0, 10_000_000)
  t.equal(bandwidth.claim(), 1_000)
})

await test('a refusal names the bandwidth that is owed more, and says when the call fits', async t => {
  const bandwidth = new Bandwidth({ ingress: 1_000, egress: 1_000 })
  bandwidth.received(1_100, 1_000)
  t.match(bandwidth.refusal(1_000, 1_000), { limit: 'ingress', retryAfterMs: 1_000 })
  bandwidth.sent(2_100, 1_000)
  t.match(bandwidth.refusal(2_000, 1_000), { code: 'tenant_overloaded', limit: 'egress' })
  const one = new Bandwidth({ ingress: NONE, egress: 1_000 })
  t.match(one.refusal(1, 1_000), { limit: 'egress' }, 'also where only those that wait owe it')
})

await test('another bandwidth keeps what is owed; without one nobody waits', async t => {
  const bandwidth = new Bandwidth({ ingress: NONE, egress: 1_000 })
  bandwidth.sent(1_100, 1_000)
  t.equal(bandwidth.waitMs(1_000), 1_000)
  t.notOk(bandwidth.idle(1_000))
  bandwidth.change({ ingress: NONE, egress: 2_000 }, 1_000)
  t.equal(bandwidth.waitMs(1_000), 500, 'it is bytes')
  bandwidth.change({ ingress: NONE, egress: NONE }, 1_000)
  t.equal(bandwidth.waitMs(1_000), 0)
  t.equal(bandwidth.sent(1e9, 1_000), 0)
  t.ok(bandwidth.idle(1_100))
})
