/** Which processes are related: a process, those that it comes from, and those that come from it. Pure. */

export interface ProcessEntry {
  readonly parent: number
  /** Process group: what a shell or a supervisor starts as one thing has its own. */
  readonly group: number
  /** In clock ticks since the machine started; a number is used again, number and start together are not. */
  readonly startedAt: number
}

/** Deeper than any tree of processes; against a table that is wrong. */
const MAX_DEPTH = 256
/** The first process. It takes up orphans and may hold sockets for others, so that its children have nothing in common. */
const INIT = 1

export class ProcessTree {
  readonly #entries: ReadonlyMap<number, ProcessEntry>

  constructor(entries: ReadonlyMap<number, ProcessEntry>) {
    this.#entries = entries
  }

  /** Undefined for a process that was not seen. */
  groupOf(pid: number): number | undefined {
    return this.#entries.get(pid)?.group
  }

  /** The process and its ancestors, without the first process of the machine unless it is the process itself. */
  lineOf(pid: number): number[] {
    const line = [pid]
    let current = this.#entries.get(pid)
    while (current !== undefined && line.length < MAX_DEPTH) {
      const { parent, startedAt } = current
      const next = this.#entries.get(parent)
      // A parent that started later is another process, under a number that was free again.
      if (parent <= INIT || next === undefined || next.startedAt > startedAt) break
      line.push(parent)
      current = next
    }
    return line
  }
}
