/** How long one small function takes. Of many short batches some are not disturbed by anybody: the least says most. */
import { type Spread, spreadOf } from '../harness/statistics.ts'

/** Does what is measured so many times; a loop of its own, so that no call stands between. Throws where a result is wrong. */
export type Run = (times: number) => void

export interface MicroBench {
  readonly name: string
  /** Makes what it needs; none of it is measured. */
  readonly prepare: () => Run | Promise<Run>
}

/** Microseconds from any moment on. */
export type Clock = () => number

const BATCHES = 25
const BATCH_US = 10_000
/** Until the optimizing compiler has seen it often. */
const WARM_UP_US = 300_000
const MAX_TIMES = 2 ** 30

/** Nanoseconds a time, over batches that are long beside the clock. */
export function measure(run: Run, clock: Clock = wallClock): Spread {
  const timed = (times: number): number => {
    const before = clock()
    run(times)
    return clock() - before
  }
  let times = 1
  for (let warm = 0; warm < WARM_UP_US; ) {
    const us = timed(times)
    warm += us
    if (us < BATCH_US / 2 && times < MAX_TIMES) times *= 2
  }
  return spreadOf(Array.from({ length: BATCHES }, () => (timed(times) * 1_000) / times))
}

/** Not the CPU time of the thread, which Linux counts in ticks of up to 10 ms. */
function wallClock(): number {
  return performance.now() * 1_000
}
