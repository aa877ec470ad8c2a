/**
 * Quantities as people write them in the configuration, each parsed to one plain number.
 * Every parser returns `undefined` for text that it does not take; it never throws.
 */

const DURATION_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const SIZE_BYTES = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 } as const

export const DURATION_HINT = 'a duration such as 250ms, 5s, 10m or 2h'
export const SIZE_HINT = 'a size such as 512B, 64KiB or 10MiB'
export const RATE_HINT = 'a rate such as 100/s, 6000/m or 50000/h'
export const BANDWIDTH_HINT = 'a bandwidth such as 512KiB/s or 10MiB/s'
export const PERCENTAGE_HINT = 'a percentage from 0% to 100%'

/** `250ms`, `5s`, `1.5m`, `2h`, `30d` → milliseconds. */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, DURATION_MS)
}

/** `512B`, `64KiB`, `10MiB` → bytes. */
export function parseSize(text: string): number | undefined {
  const bytes = parseQuantity(text, SIZE_BYTES)
  return bytes === undefined ? undefined : Math.floor(bytes)
}

/** `100/s`, `6000/m`, `50000/h` → events a second. */
export function parseRate(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\/([smh])$/.exec(text)
  if (!match) return undefined
  const [, amount, unit] = match
  const perSecond = (Number(amount) * 1_000) / DURATION_MS[unit as 's' | 'm' | 'h']
  return perSecond > 0 && Number.isSafeInteger(Math.floor(perSecond)) ? perSecond : undefined
}

/** `10MiB/s` → bytes a second. */
export function parseBandwidth(text: string): number | undefined {
  if (!text.endsWith('/s')) return undefined
  const bytes = parseSize(text.slice(0, -2))
  return bytes !== undefined && bytes > 0 ? bytes : undefined
}

/** `50%` → 0.5. */
export function parsePercentage(text: string): number | undefined {
  const value = parseQuantity(text, { '%': 1 })
  return value !== undefined && value <= 100 ? value / 100 : undefined
}

function parseQuantity(text: string, units: Record<string, number>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([A-Za-z]+|%)$/.exec(text)
  const unit = match?.[2]
  if (!match || unit === undefined || !Object.hasOwn(units, unit)) return undefined
  const value = Number(match[1]) * (units[unit] ?? Number.NaN)
  return Number.isSafeInteger(Math.floor(value)) ? value : undefined
}
