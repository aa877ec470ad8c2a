/** Custom billing: what an application counts for itself (`/v1/charges`), version 1. Meanings: docs/quotas.md. */
import { z } from 'zod'
import { TENANT_ID_PATTERN } from '../core/tenant-id.ts'

export const CHARGE_EVENT_PATTERN: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
/** Decimal digits behind the point that are kept. */
export const CHARGE_DECIMALS = 6
export const MAX_CHARGE_ATTRIBUTES = 32

/**
 * How much: an integer up to 2^53 - 1, as a number or as text, or a decimal as text, with up to six digits behind the point.
 * A JSON number with a fraction is refused: most readers would have rounded it before anybody could count it.
 */
export const chargeQuantitySchema = z.union(
  [
    z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER),
    z
      .string()
      .regex(/^(0|[1-9][0-9]{0,15})(\.[0-9]{1,6})?$/)
      .refine(
        text => Number(text.split('.')[0]) <= Number.MAX_SAFE_INTEGER,
        'must be at most 2^53 - 1',
      ),
  ],
  {
    error:
      'must be a whole number from 0 to 2^53 - 1, or a text such as "12.5" with up to six digits behind the point',
  },
)

export const chargeSchema = z.strictObject({
  id: z
    .string()
    .regex(/^[A-Za-z0-9._:-]{1,128}$/)
    .describe('Names this charge of the tenant for ever: the same id again adds nothing.'),
  event: z.string().regex(CHARGE_EVENT_PATTERN).describe('What is charged for.'),
  quantity: chargeQuantitySchema.describe('How much of it.'),
  attributes: z
    .record(
      z.string().min(1).max(64),
      z.union([z.string().max(256), z.number(), z.boolean(), z.null()]),
    )
    .refine(
      attributes => Object.keys(attributes).length <= MAX_CHARGE_ATTRIBUTES,
      `must have at most ${MAX_CHARGE_ATTRIBUTES} entries`,
    )
    .default({})
    .describe('Kept with the charge; they do not change what it costs.'),
  tenant: z
    .string()
    .regex(TENANT_ID_PATTERN)
    .optional()
    .describe('Who is charged, where the token is shown; what a deployment says here is ignored.'),
})
export type Charge = Readonly<z.output<typeof chargeSchema>>

/** The same to a repeated charge. */
export const chargeAnswerSchema = z.strictObject({
  id: z.string(),
  tenant: z.string(),
  event: z.string(),
  quantity: z.string().describe('As it was counted, in its shortest form.'),
  at: z.iso
    .datetime()
    .describe('When it came, by the clock of the mixer: the minute that it counts in.'),
})
export type ChargeAnswer = Readonly<z.output<typeof chargeAnswerSchema>>

export const CHARGE_GRAINS = ['minute', 'hour', 'day', 'none'] as const
export type ChargeGrain = (typeof CHARGE_GRAINS)[number]
export const MAX_CHARGE_WINDOWS = 10_000

/** Answer of `GET /v1/charges`: sums by window, tenant and event. */
export const chargeSumsSchema = z.strictObject({
  from: z.iso.datetime(),
  to: z.iso.datetime(),
  by: z.enum(CHARGE_GRAINS),
  windows: z.array(
    z.strictObject({
      window: z.iso
        .datetime()
        .optional()
        .describe('Start of the minute, hour or day; none where `by` is `none`.'),
      tenant: z.string(),
      event: z.string(),
      charges: z.number().int().nonnegative().describe('How many.'),
      quantity: z
        .string()
        .describe('Their exact sum: a text, since it may be beyond what JSON numbers hold.'),
    }),
  ),
  next: z.string().nullable().describe('Value of `after` for the next page; null on the last.'),
})
export type ChargeSums = Readonly<z.output<typeof chargeSumsSchema>>

const MICROS = 1_000_000n

/** An exact quantity: millionths. Undefined never comes out of what the schema has taken. */
export function chargeMicros(quantity: string | number): bigint {
  const [whole = '0', fraction = ''] = String(quantity).split('.')
  return BigInt(whole) * MICROS + BigInt(fraction.padEnd(CHARGE_DECIMALS, '0'))
}

/** Millionths in their shortest decimal form: `12`, `0.5`. */
export function formatMicros(micros: bigint): string {
  const fraction = String(micros % MICROS)
    .padStart(CHARGE_DECIMALS, '0')
    .replace(/0+$/, '')
  return `${micros / MICROS}${fraction === '' ? '' : `.${fraction}`}`
}
