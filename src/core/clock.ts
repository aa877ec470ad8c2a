/** Time as a dependency, so that tests own it. Nothing below `runtime/` reads a clock by itself. */
export interface Clock {
  /** Milliseconds since the Unix epoch: for windows, expiries and log lines. It may jump. */
  now(): number
  /** Milliseconds from an arbitrary start, never backwards: for durations and timeouts. */
  monotonic(): number
}
