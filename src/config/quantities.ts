/** Schema types for quantities: text with a unit in the file, a plain number in the loaded configuration. */
import { z } from 'zod'
import {
  BANDWIDTH_HINT,
  DURATION_HINT,
  PERCENTAGE_HINT,
  parseBandwidth,
  parseDuration,
  parsePercentage,
  parseRate,
  parseSize,
  RATE_HINT,
  SIZE_HINT,
} from '../core/units.ts'

type Quantity = z.ZodPipe<z.ZodString, z.ZodTransform<number, string>>

function quantity(parse: (text: string) => number | undefined, hint: string): Quantity {
  return z.string({ error: `must be ${hint}` }).transform((text, context) => {
    const value = parse(text)
    if (value !== undefined) return value
    context.addIssue({ code: 'custom', message: `must be ${hint}` })
    return z.NEVER
  })
}

/** Milliseconds. */
export const duration = (): Quantity => quantity(parseDuration, DURATION_HINT)
/** Bytes. */
export const size = (): Quantity => quantity(parseSize, SIZE_HINT)
/** Bytes within bounds, which hold what one connection may make the proxy keep. */
export const sizeBetween = (atLeast: number, atMost: number): z.ZodPipe<Quantity, z.ZodNumber> =>
  size().pipe(
    z
      .number()
      .min(atLeast, `must be at least ${sizeText(atLeast)}`)
      .max(atMost, `must be at most ${sizeText(atMost)}`),
  )
/** Events a second. */
export const rate = (): Quantity => quantity(parseRate, RATE_HINT)
/** Bytes a second. */
export const bandwidth = (): Quantity => quantity(parseBandwidth, BANDWIDTH_HINT)
/** 0 to 1. */
export const fraction = (): Quantity => quantity(parsePercentage, PERCENTAGE_HINT)

const KIB = 1024
const MIB = 1024 * KIB

/** Whole KiB or MiB, as they would stand in the file. */
export function sizeText(bytes: number): string {
  return bytes % MIB === 0 ? `${bytes / MIB}MiB` : `${bytes / KIB}KiB`
}

/** `off` or a quantity; off is 0. */
export function offOr(
  given: Quantity,
): z.ZodUnion<[z.ZodPipe<z.ZodLiteral<'off'>, z.ZodTransform<number, 'off'>>, Quantity]> {
  return z.union([z.literal('off').transform(() => 0), given])
}
