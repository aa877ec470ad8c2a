/** `Max-Forwards` (RFC 9110 §7.6.2). */

/** A recipient may forward the largest number that it can count. */
const MOST_HOPS = 1_000

/**
 * Hops that a request may still take by the value of the field: -1 where its method does not count them, undefined where
 * it does and the value is not plain digits.
 */
export function hopsLeftOf(method: string, value: string): number | undefined {
  if (method !== 'OPTIONS' && method !== 'TRACE') return -1
  return /^\d+$/.test(value) ? Math.min(Number(value), MOST_HOPS) : undefined
}
