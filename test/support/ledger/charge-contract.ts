/** What charges must do on either database, as tests. */
import type { Test } from 'tap'
import { type Charge, chargeSchema } from '../../../src/contracts/charge.ts'
import { ChargeLedger, type ChargeQuery } from '../../../src/mixer/charges/charge-ledger.ts'
import { openDatabase } from '../../../src/mixer/ledger/open-database.ts'
import { FakeClock } from '../fake-clock.ts'

const NOON = Date.UTC(2026, 10, 25, 12)
const ALL: ChargeQuery = { from: NOON, to: NOON + 86_400_000, by: 'none', limit: 100 }
const MOST = Number.MAX_SAFE_INTEGER

function charge(id: string, quantity: number | string, more: Partial<Charge> = {}): Charge {
  return chargeSchema.parse({ id, event: 'page', quantity, ...more })
}

/** `url` gives that of a new, empty database. */
export async function testCharges(t: Test, url: (t: Test) => Promise<string>): Promise<void> {
  const lab = async (t: Test) => {
    const ledger = await url(t)
    const clock = new FakeClock(NOON + 30_000)
    const open = async (): Promise<ChargeLedger> => {
      const opened = await openDatabase(ledger)
      if ('refusal' in opened) throw new Error(opened.refusal)
      t.teardown(() => opened.database.close())
      return new ChargeLedger(opened.database, clock)
    }
    return { clock, open }
  }

  await t.test('a charge counts once, however often it comes', async t => {
    const { open, clock } = await lab(t)
    const charges = await open()
    const given = charge('a', '2.50', { attributes: { page: 'x', n: 1 } })
    const first = { kind: 'charged', quantity: '2.5', at: NOON + 30_000 }
    t.same(await charges.charge({ tenant: 'acme', charge: given }), first)
    clock.ms += 3_600_000
    t.same(await charges.charge({ tenant: 'acme', charge: given }), first, 'the same answer')
    const sorted = charge('a', '2.5', { attributes: { n: 1, page: 'x' } })
    t.same(await charges.charge({ tenant: 'acme', charge: sorted }), first, 'the same content')
    for (const other of [
      charge('a', '2.500001', { attributes: { page: 'x', n: 1 } }),
      charge('a', '2.5', { attributes: { page: 'y', n: 1 } }),
      charge('a', '2.5'),
      charge('a', '2.5', { event: 'other', attributes: { page: 'x', n: 1 } }),
    ])
      t.same(await charges.charge({ tenant: 'acme', charge: other }), { kind: 'conflict' })
    t.match(await charges.charge({ tenant: 'globex', charge: given }), { kind: 'charged' })
    t.match(await charges.sums(ALL), {
      more: false,
      sums: [
        { window: 0, tenant: 'acme', event: 'page', charges: 1, quantity: '2.5' },
        { window: 0, tenant: 'globex', event: 'page', charges: 1, quantity: '2.5' },
      ],
    })
  })

  await t.test('sums are exact, beyond what numbers hold and down to millionths', async t => {
    const charges = await (await lab(t)).open()
    const quantities = [MOST, MOST, `${MOST}.999999`, '0.000001', '0.1', '0.2', 3]
    for (const [index, quantity] of quantities.entries())
      await charges.charge({ tenant: 'acme', charge: charge(`id-${index}`, quantity) })
    const found = await charges.sums(ALL)
    const expected = `${3n * BigInt(MOST) + 1n + 3n}.3`
    t.match(found, { sums: [{ charges: 7, quantity: expected }] })
  })

  await t.test('a sum of a minute beyond 2^63 - 1 is refused, and changes nothing', async t => {
    const { open, clock } = await lab(t)
    const charges = await open()
    const many = Array.from({ length: 1_025 }, (_, index) => charge(`id-${index}`, MOST))
    const kinds = await Promise.all(
      many.map(async each => (await charges.charge({ tenant: 'acme', charge: each })).kind),
    )
    const taken = kinds.filter(kind => kind === 'charged').length
    t.same([taken, kinds.filter(kind => kind === 'overflow').length], [1_024, 1])
    const refused = many[kinds.indexOf('overflow')] ?? charge('', 0)
    const before = await charges.sums(ALL)
    t.match(before, { sums: [{ charges: 1_024, quantity: String(1_024n * BigInt(MOST)) }] })
    clock.ms += 60_000
    t.match(await charges.charge({ tenant: 'acme', charge: refused }), { kind: 'charged' })
    t.match(await charges.sums(ALL), { sums: [{ quantity: String(1_025n * BigInt(MOST)) }] })
  })

  await t.test('charges at two mixers at once are all counted, and each once', async t => {
    const { open } = await lab(t)
    const mixers = [await open(), await open()]
    await Promise.all(
      Array.from({ length: 400 }, async (_, index) =>
        mixers[index % 2]?.charge({ tenant: 'acme', charge: charge(`id-${index >> 2}`, '0.3') }),
      ),
    )
    t.match(await mixers[0]?.sums(ALL), { sums: [{ charges: 100, quantity: '30' }] })
  })

  await t.test('the same id for two events at once is one charge', async t => {
    const { open } = await lab(t)
    const [one, two] = [await open(), await open()]
    for (let round = 0; round < 10; round += 1) {
      const id = `id-${round}`
      const results = await Promise.all([
        one.charge({ tenant: 'acme', charge: charge(id, 1) }),
        two.charge({ tenant: 'acme', charge: charge(id, 1, { event: 'other' }) }),
      ])
      t.same(results.map(({ kind }) => kind).toSorted(), ['charged', 'conflict'])
    }
  })

  await t.test('sums by time, of one tenant or event, in pages', async t => {
    const { open, clock } = await lab(t)
    const charges = await open()
    let id = 0
    for (const minute of [0, 1, 61]) {
      clock.ms = NOON + minute * 60_000
      for (const tenant of ['acme', 'globex'])
        for (const event of ['B', 'a']) {
          id += 1
          await charges.charge({ tenant, charge: charge(`id-${id}`, minute + 1, { event }) })
        }
    }
    const read = async (query: Partial<ChargeQuery>): Promise<string[]> => {
      const lines: string[] = []
      let after: ChargeQuery['after']
      for (;;) {
        const found = await charges.sums({ ...ALL, ...query, ...(after && { after }) })
        if (found.kind === 'unavailable') throw new Error(found.detail)
        for (const { window, tenant, event, quantity } of found.sums)
          lines.push(
            `${window === 0 ? '-' : (window - NOON) / 60_000} ${tenant} ${event} ${quantity}`,
          )
        after = found.sums.at(-1)
        if (!found.more) return lines
      }
    }
    t.same(await read({ by: 'hour' }), [
      '0 acme B 3',
      '0 acme a 3',
      '0 globex B 3',
      '0 globex a 3',
      '60 acme B 62',
      '60 acme a 62',
      '60 globex B 62',
      '60 globex a 62',
    ])
    t.same(await read({ by: 'minute', tenant: 'acme', event: 'a' }), [
      '0 acme a 1',
      '1 acme a 2',
      '61 acme a 62',
    ])
    const whole = await read({ by: 'none' })
    t.same(whole, ['- acme B 65', '- acme a 65', '- globex B 65', '- globex a 65'])
    for (const by of ['none', 'minute', 'day'] as const)
      for (const limit of [1, 2, 3])
        t.same(await read({ by, limit }), await read({ by }), `${by} by ${limit}`)
    t.same(await read({ to: NOON + 60_000, tenant: 'acme' }), ['- acme B 1', '- acme a 1'])
  })
}
