/** Quantities of charges are exact, from the text of the message to the sum. */
import fc from 'fast-check'
import { test } from 'tap'
import {
  chargeMicros,
  chargeQuantitySchema,
  chargeSchema,
  formatMicros,
} from '../../../src/contracts/charge.ts'

await test('quantities are whole numbers, or decimals as text', async t => {
  for (const good of [0, 1, Number.MAX_SAFE_INTEGER, '0', '12.5', '0.000001', '9007199254740991.5'])
    t.ok(chargeQuantitySchema.safeParse(good).success, String(good))
  const bad = [
    -1,
    0.1,
    Number.NaN,
    2 ** 53,
    1e300,
    '',
    '-1',
    '01',
    '1.',
    '.5',
    '1e3',
    '1.0000001',
    ' 1',
    '9007199254740992',
    '99999999999999999',
    null,
    true,
    [],
    {},
  ]
  for (const value of bad)
    t.notOk(chargeQuantitySchema.safeParse(value).success, JSON.stringify(value))
})

await test('a quantity survives the way to millionths and back', async t => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: BigInt(Number.MAX_SAFE_INTEGER) }),
      fc.integer({ min: 0, max: 999_999 }),
      (whole, fraction) => {
        const text = `${whole}.${String(fraction).padStart(6, '0')}`
        const micros = chargeMicros(text)
        return (
          micros === whole * 1_000_000n + BigInt(fraction) &&
          chargeMicros(formatMicros(micros)) === micros
        )
      },
    ),
  )
  t.equal(formatMicros(chargeMicros('12.500000')), '12.5')
  t.equal(formatMicros(chargeMicros(3)), '3')
  t.equal(formatMicros(chargeMicros('0.000001')), '0.000001')
})

await test('attributes are few and small', async t => {
  const charge = { id: 'a', event: 'page', quantity: 1 }
  const many = Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`k${index}`, 1]))
  t.same(chargeSchema.parse(charge).attributes, {})
  t.ok(chargeSchema.safeParse({ ...charge, attributes: { page: '7', paid: true } }).success)
  t.notOk(chargeSchema.safeParse({ ...charge, attributes: many }).success)
  t.notOk(chargeSchema.safeParse({ ...charge, attributes: { a: 'x'.repeat(257) } }).success)
  t.notOk(chargeSchema.safeParse({ ...charge, attributes: { a: {} } }).success)
  t.notOk(chargeSchema.safeParse({ ...charge, cost: 1 }).success)
})
