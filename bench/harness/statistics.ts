/** A figure over all rounds. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Throws where there is nothing to sum up. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const [min, max] = [sorted[0], sorted.at(-1)]
  if (min === undefined || max === undefined) throw new RangeError('no values')
  const middle = sorted.length >> 1
  const upper = sorted[middle] as number
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2
  return { median, min, max }
}

/**
 * How often `ours` goes into `theirs`, round by round: what two runs one after the other share (heat, neighbours, clock)
 * falls out. Rounds that only one of them has are left out.
 */
export function ratioOf(theirs: readonly number[], ours: readonly number[]): Spread {
  return inPairs(theirs, ours, (their, our) => their / our)
}

/** By how much `ours` exceeds `theirs`, in the same way. */
export function excessOf(theirs: readonly number[], ours: readonly number[]): Spread {
  return inPairs(theirs, ours, (their, our) => our - their)
}

/** Half of the values lie between its ends. */
export interface Quartiles {
  readonly median: number
  readonly lower: number
  readonly upper: number
}

/** Of many values, whose ends say more of the machine than of them. Throws where there is nothing to sum up. */
export function quartilesOf(values: readonly number[]): Quartiles {
  const { median } = spreadOf(values)
  const sorted = values.toSorted((a, b) => a - b)
  return { median, lower: percentile(sorted, 0.25), upper: percentile(sorted, 0.75) }
}

/** The value that a share of all, from 0 to 1, does not exceed. `sorted` ascends and is not empty. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] as number
}

function inPairs(
  theirs: readonly number[],
  ours: readonly number[],
  compare: (their: number, our: number) => number,
): Spread {
  const rounds = Math.min(theirs.length, ours.length)
  return spreadOf(
    theirs.slice(0, rounds).map((their, round) => compare(their, ours[round] as number)),
  )
}
