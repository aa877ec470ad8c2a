/** Milliseconds of the machine's monotonic clock: the same in every thread, where `performance.now()` is each one's own. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
