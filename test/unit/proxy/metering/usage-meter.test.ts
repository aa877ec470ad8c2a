import fc from 'fast-check'
import { test } from 'tap'
import { BatchWriter } from '../../../../src/contracts/journal-segment.ts'
import {
  noUsage,
  USAGE_COUNTERS,
  type UsageRecord,
  usageRecordSchema,
} from '../../../../src/contracts/usage-report.ts'
import type { Clock } from '../../../../src/core/clock.ts'
import { CODE_CLASSES, ROUTABILITIES } from '../../../../src/core/routability.ts'
import { UsageMeter, type UsageRow } from '../../../../src/proxy/metering/usage-meter.ts'
import { Tenant } from '../../../../src/proxy/tenant/tenant.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { tenantConfig } from '../../../support/token-issuer.ts'

const MINUTE = 60_000
const NOON = Date.UTC(2026, 0, 1, 12)

function tenant(index: number, id: string): Tenant {
  return Tenant.of(index, tenantConfig(id))
}
const acme = tenant(0, 'acme')
const globex = tenant(5, 'globex')

const LISTENERS = ['public', 'inner']
/** A meter whose clock is set by each use. */
class TimedMeter extends UsageMeter {
  readonly #clock: FakeClock

  constructor(clock: FakeClock) {
    super(['read', 'write'], LISTENERS, clock)
    this.#clock = clock
  }

  at(ms: number): this {
    this.#clock.ms = ms
    return this
  }
}

const meterAt = (now: number): TimedMeter => new TimedMeter(new FakeClock(now))

/** The row of acme's successful reads. */
const readRow = (meter: UsageMeter): UsageRow =>
  meter.row(acme, 0, 'l7', { operation: 0, codeClass: 2 })
const connectionRow = (meter: UsageMeter): UsageRow =>
  meter.row(acme, 0, 'l7', { operation: meter.connection, codeClass: 0 })

await test('makes one record of what a row counted since the last time', async t => {
  const meter = meterAt(NOON)
  const row = readRow(meter)
  meter.at(NOON).ingress(row, 100)
  meter.at(NOON + 1).egress(row, 1_000)
  meter.at(NOON + 2).egress(row, 1)
  meter.at(NOON + 3).call(row, 12.75)
  t.same(meter.at(NOON + 10).take(), [
    {
      tenant: 'acme',
      listener: 'public',
      routability: 'l7',
      operation: 'read',
      code: '2xx',
      window: NOON,
      calls: 1,
      ingress: 100,
      egress: 1_001,
      connections: 0,
      connectionMs: 0,
      callMs: 12,
      requestMessages: 0,
      responseMessages: 0,
    },
  ])
  t.same(meter.at(NOON + 20).take(), [], 'once')
  meter.at(NOON + 30).call(row, 0.25)
  t.match(
    meter.at(NOON + 40).take(),
    [{ calls: 1, callMs: 1, ingress: 0 }],
    'with what was left of it',
  )
})

await test('keeps apart what differs in any part of the key', async t => {
  const meter = meterAt(NOON)
  const rows = new Set<UsageRow>()
  for (const who of [acme, globex])
    for (const listener of [0, 1])
      for (const routability of ROUTABILITIES)
        for (const operation of meter.operations.keys())
          for (const codeClass of CODE_CLASSES.keys()) {
            const row = meter.row(who, listener, routability, { operation, codeClass })
            rows.add(row)
            meter.at(NOON).ingress(row, 1)
          }
  const expected = 2 * 2 * 4 * 5 * 23
  t.equal(rows.size, expected)
  const records = meter.at(NOON).take()
  const keys = records.map(({ tenant, listener, routability, operation, code }) =>
    [tenant, listener, routability, operation, code].join(),
  )
  t.equal(new Set(keys).size, expected)
  t.same(
    [...new Set(records.map(record => record.operation))],
    ['read', 'write', 'other', 'tunnel', 'connection'],
  )
  t.same([meter.other, meter.tunnel, meter.connection], [2, 3, 4])
  t.equal(readRow(meter), readRow(meter), 'one object a key')
})

await test('counts in the minute in which it happens, whenever it is taken', async t => {
  const meter = meterAt(NOON + MINUTE - 1)
  const row = readRow(meter)
  meter.at(NOON + MINUTE - 1).ingress(row, 1)
  meter.at(NOON + MINUTE).ingress(row, 2)
  meter.at(NOON + 3 * MINUTE + 5).ingress(row, 4)
  const records = meter.at(NOON + 4 * MINUTE).take()
  t.same(
    records.map(({ window, ingress }) => [window - NOON, ingress]),
    [
      [0, 1],
      [MINUTE, 2],
      [3 * MINUTE, 4],
    ],
  )
  meter.at(NOON + 4 * MINUTE).ingress(row, 8)
  t.match(meter.at(NOON + 4 * MINUTE).take(), [{ window: NOON + 4 * MINUTE, ingress: 8 }])
})

await test('goes on in its window where the clock was set back', async t => {
  const meter = meterAt(NOON)
  const row = readRow(meter)
  meter.at(NOON).ingress(row, 1)
  meter.at(NOON - 90_000).ingress(row, 2)
  t.match(meter.at(NOON - 80_000).take(), [{ window: NOON, ingress: 3 }])
  meter.at(NOON - 70_000).ingress(row, 4)
  t.match(meter.at(NOON + 1).take(), [{ window: NOON, ingress: 4 }])
})

await test('counts the time of open connections as it passes, minute by minute', async t => {
  const meter = meterAt(NOON)
  const row = connectionRow(meter)
  meter.at(NOON + 50_000).open(row)
  meter.at(NOON + 55_000).open(row)
  t.match(meter.at(NOON + 58_000).take(), [{ connections: 2, connectionMs: 8_000 + 3_000 }])
  t.same(meter.at(NOON + 58_000).take(), [], 'no time, no record')
  meter.at(NOON + MINUTE + 1_000).close(row)
  t.match(meter.at(NOON + MINUTE + 4_000).take(), [
    { window: NOON, connections: 0, connectionMs: 2 * 2_000 },
    { window: NOON + MINUTE, connections: 0, connectionMs: 2 * 1_000 + 3_000 },
  ])
  meter.at(NOON + MINUTE + 4_000).close(row)
  t.same(
    meter
      .at(NOON + MINUTE + 30_000)
      .take()
      .map(record => record.connectionMs),
    [0],
  )
  t.same(meter.at(NOON + 9 * MINUTE).take(), [], 'closed is closed')
})

await test('makes no record of less than a millisecond', async t => {
  const meter = meterAt(NOON)
  const row = connectionRow(meter)
  meter.at(NOON).open(row)
  meter.at(NOON).take()
  t.same(meter.at(NOON + 0.5).take(), [])
  t.same(meter.at(NOON + 0.75).take(), [])
  t.match(meter.at(NOON + 1.25).take(), [{ connectionMs: 1 }])
})

function sum(records: readonly UsageRecord[], counter: (typeof USAGE_COUNTERS)[number]): number {
  return records.reduce((total, record) => total + record[counter], 0)
}

/** The clocks of a machine: the time of day jumps where somebody sets it, the other never. */
function jumpingClock(): { clock: Clock; pass: (ms: number) => void; jump: (ms: number) => void } {
  let day = NOON
  let monotonic = 5_000
  return {
    clock: { now: () => day, monotonic: () => monotonic },
    pass: ms => {
      day += ms
      monotonic += ms
    },
    jump: ms => {
      day += ms
    },
  }
}

for (const [name, ms] of [
  ['a minute back', -MINUTE],
  ['an hour back', -60 * MINUTE],
  ['a day forward', 24 * 60 * MINUTE],
] as const)
  await test(`the time of connections goes on as it passes where the clock jumps ${name}`, async t => {
    const { clock, pass, jump } = jumpingClock()
    const meter = new UsageMeter(['read', 'write'], LISTENERS, clock)
    const row = connectionRow(meter)
    meter.open(row)
    pass(10_000)
    meter.take()
    pass(1_000)
    jump(ms)
    pass(2_000)
    const after = meter.take()
    t.equal(sum(after, 'connectionMs'), 3_000, 'what passed, in whatever minutes')
    pass(4_000)
    jump(-ms)
    meter.close(row)
    t.equal(sum(meter.take(), 'connectionMs'), 4_000)
    t.same(meter.take(), [])
  })

await test('follows a clock that is set back by more than minutes: it was wrong before', async t => {
  const { clock, pass, jump } = jumpingClock()
  const meter = new UsageMeter(['read', 'write'], LISTENERS, clock)
  const row = readRow(meter)
  const windowOf = (): number => {
    meter.call(row, 1)
    const [record, ...others] = meter.take()
    t.same(others, [])
    return ((record?.window ?? 0) - NOON) / MINUTE
  }
  t.equal(windowOf(), 0)
  jump(24 * 60 * MINUTE)
  t.equal(windowOf(), 24 * 60, 'forward at once')
  jump(-24 * 60 * MINUTE)
  t.equal(windowOf(), 0, 'and back')
  jump(-60 * MINUTE)
  t.equal(windowOf(), -60)
  jump(-4 * MINUTE)
  t.equal(windowOf(), -60, 'a little back: the present minute goes on')
  pass(5 * MINUTE)
  t.equal(windowOf(), -59)
})

await test('tells openings and open connections of rows where they changed', async t => {
  const meter = meterAt(NOON)
  const row = connectionRow(meter)
  t.same(meter.takeConnectionCounts(), [])
  meter.at(NOON).open(row)
  meter.at(NOON).open(row)
  const count = { tenant: 'acme', listener: 'public', routability: 'l7' }
  t.same(meter.takeConnectionCounts(), [{ ...count, opened: 2, active: 2 }])
  meter.at(NOON).close(row)
  t.same(meter.takeConnectionCounts(), [{ ...count, opened: 0, active: 1 }])
  meter.at(NOON + MINUTE).take()
  t.same(meter.takeConnectionCounts(), [], 'time alone is no change')
})

interface Step {
  readonly kind: 'call' | 'ingress' | 'egress' | 'messages' | 'open' | 'close' | 'take'
  readonly row: number
  readonly amount: number
  readonly passes: number
}

const forward = fc.oneof(fc.constant(0), fc.nat(500), fc.nat(200_000))
const stepsWith = (passes: fc.Arbitrary<number>): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.record({
      kind: fc.constantFrom('call', 'ingress', 'egress', 'messages', 'open', 'close', 'take'),
      row: fc.nat(5),
      amount: fc.nat(1_000),
      passes,
    }),
    { maxLength: 80 },
  )
const steps = fc.oneof(
  stepsWith(forward),
  stepsWith(fc.oneof(forward, fc.integer({ min: -90_000, max: 0 }))),
)

await test('whatever happens, the records add up to what was counted', async t => {
  fc.assert(
    fc.property(steps, fc.nat(MINUTE), (todo, offset) => {
      let now = NOON + offset
      const meter = meterAt(now)
      const rows = [0, 1, 2, 3, 4, 5].map(at =>
        meter.row(at < 3 ? acme : globex, at % 2, 'private', { operation: at % 3, codeClass: 2 }),
      )
      const open = rows.map(() => 0)
      const wanted = noUsage()
      let setBack = false
      const records: UsageRecord[] = []
      for (const { kind, row: at, amount, passes } of todo) {
        now += passes
        setBack ||= passes < 0
        wanted.connectionMs += Math.max(0, passes) * open.reduce((all, each) => all + each, 0)
        const row = rows[at] as UsageRow
        if (kind === 'call') {
          meter.at(now).call(row, amount)
          wanted.calls += 1
          wanted.callMs += amount
        } else if (kind === 'ingress' || kind === 'egress') {
          meter.at(now)[kind](row, amount)
          wanted[kind] += amount
        } else if (kind === 'messages') {
          meter.at(now).messages(row, amount, 1)
          wanted.requestMessages += amount
          wanted.responseMessages += 1
        } else if (kind === 'open') {
          meter.at(now).open(row)
          open[at] = (open[at] as number) + 1
          wanted.connections += 1
        } else if (kind === 'close' && (open[at] as number) > 0) {
          meter.at(now).close(row)
          open[at] = (open[at] as number) - 1
        } else if (kind === 'take') records.push(...meter.at(now).take())
      }
      records.push(...meter.at(now).take())
      for (const record of records) usageRecordSchema.parse(record)
      for (const counter of USAGE_COUNTERS) {
        const found = sum(records, counter)
        // Time that a clock shows twice is counted once, so there may be less of it.
        const short = counter === 'connectionMs' && setBack && found < wanted[counter]
        if (found !== wanted[counter] && !short)
          throw new Error(`${counter}: ${found}, not ${wanted[counter]}`)
      }
    }),
    { numRuns: 1_000 },
  )
  t.pass()
})

await test('the rows of a tenant without traffic go when all that they count has been passed on', async t => {
  const meter = meterAt(NOON)
  const row = readRow(meter)
  const connection = connectionRow(meter)
  const passOn = (): void => {
    meter.unwritten.encode(new BatchWriter(), 1)
    meter.unwritten.written()
  }
  meter.open(connection)
  meter.call(row, 3)
  meter.forget(acme)
  meter.take()
  t.equal(readRow(meter), row, 'the journal does not have it')
  passOn()
  meter.takeConnectionCounts()
  meter.take()
  t.not(readRow(meter), row, 'it was asked for last, and is not remembered')
  t.equal(connectionRow(meter), connection, 'a connection is open')
  meter.close(connection)
  meter.take()
  passOn()
  t.same(meter.takeConnectionCounts(), [
    { tenant: 'acme', listener: 'public', routability: 'l7', opened: 0, active: 0 },
  ])
  meter.take()
  t.not(readRow(meter), row)
  t.not(connectionRow(meter), connection)
  meter.call(row, 3)
  t.match(meter.take(), [{ tenant: 'acme', calls: 1 }], 'whoever kept one can count on')
})
