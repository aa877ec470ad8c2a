/** When the calls of a paced load are due: at random, as from very many callers that know nothing of each other. */
import type { SeededRandom } from '../../test/support/seeded-random.ts'

/** Enough for one machine in one round. */
const MAX_CALLS = 10_000_000

/**
 * The times in milliseconds from the start, ascending, of calls that come at `rate` a second on average for that long: a
 * Poisson process.
 */
export function scheduleOf(rate: number, seconds: number, random: SeededRandom): Float64Array {
  if (!(rate > 0) || rate * seconds > MAX_CALLS)
    throw new RangeError(`no schedule of ${rate} calls a second for ${seconds} s`)
  const times: number[] = []
  const [mean, end] = [1_000 / rate, seconds * 1_000]
  for (let at = pause(mean, random); at < end; at += pause(mean, random)) times.push(at)
  return Float64Array.from(times)
}

function pause(mean: number, random: SeededRandom): number {
  return -mean * Math.log(1 - random.uint32() / 2 ** 32)
}
