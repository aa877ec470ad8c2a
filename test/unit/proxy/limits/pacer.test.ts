import { test } from 'tap'
import { Pacer } from '../../../../src/proxy/limits/pacer.ts'

await test('a bandwidth holds after a tenth of a second of burst', async t => {
  const pacer = new Pacer(1_000_000)
  t.equal(pacer.spend(60_000, 1_000), 0)
  t.equal(pacer.spend(40_000, 1_000), 0)
  t.equal(pacer.spend(1_000, 1_000), 1)
  t.equal(pacer.spend(9_000, 1_000), 10, 'debts add up')
  t.equal(pacer.spend(0, 1_006), 4)
  t.equal(pacer.spend(0, 2_000), 0)
  t.equal(pacer.spend(101_000, 9_000), 1, 'rest saves up no more than the burst')
  const free = new Pacer(Number.POSITIVE_INFINITY)
  t.equal(free.spend(Number.MAX_SAFE_INTEGER, 0), 0)
})

await test('who rests as long as told has the bandwidth in the end', async t => {
  const pacer = new Pacer(1_000_000)
  let now = 1_000
  let passed = 0
  while (now < 61_000) {
    passed += 16_384
    now += pacer.spend(16_384, now)
  }
  t.ok(Math.abs(passed - 60_100_000) < 2 * 16_384, `${passed} bytes a minute`)
})

await test('what is owed is bytes: another bandwidth pays them in another time', async t => {
  const pacer = new Pacer(1_000)
  pacer.spend(2_100, 1_000)
  t.equal(pacer.debt(1_000), 2_000)
  t.equal(pacer.debt(4_000), 0, 'and no less than nothing')
  pacer.change(10_000, 2_000)
  t.equal(pacer.debt(2_000), 100)
  pacer.change(Number.POSITIVE_INFINITY, 2_000)
  t.equal(pacer.debt(2_000), 0)
  pacer.change(1_000, 2_000)
  t.equal(pacer.debt(2_000), 0, 'who had no limit meanwhile owes nothing')
})
