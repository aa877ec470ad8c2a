/** Where the lines of a file begin, and what each of them is; changed at the cost of what changes. */
import type { TenantEntry } from './tenant-entry.ts'

/** More than these are not put in by `splice`, whose arguments must fit on the stack. */
const FEW = 1_024

export class LineTable {
  readonly starts: number[] = []
  /** Undefined for a line that is empty. */
  readonly entries: (TenantEntry | undefined)[] = []

  get length(): number {
    return this.starts.length
  }

  /** Index of the first line that begins at `position` or behind it. */
  from(position: number): number {
    const { starts } = this
    let [low, high] = [0, starts.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((starts[middle] ?? 0) < position) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Puts `lines` in the place of `count`; those behind them begin `shift` bytes later. Gives those that were there. */
  exchange(first: number, count: number, lines: LineTable, shift: number): LineTable {
    const former = new LineTable()
    exchange(this.starts, { first, count, items: lines.starts, into: former.starts })
    exchange(this.entries, { first, count, items: lines.entries, into: former.entries })
    if (shift !== 0) {
      const { starts } = this
      for (let line = first + lines.length; line < starts.length; line += 1)
        starts[line] = (starts[line] ?? 0) + shift
    }
    return former
  }
}

interface Exchange<T> {
  readonly first: number
  readonly count: number
  readonly items: readonly T[]
  /** Takes what was there. */
  readonly into: T[]
}

function exchange<T>(array: T[], { first, count, items, into }: Exchange<T>): void {
  for (let index = first; index < first + count; index += 1) into.push(array[index] as T)
  if (items.length <= FEW) {
    array.splice(first, count, ...items)
    return
  }
  const behind = array.splice(first).slice(count)
  for (const item of items) array.push(item)
  for (const item of behind) array.push(item)
}
