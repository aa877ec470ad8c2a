/** What this process takes of the machine. */

export interface ProcessFigures {
  /** Physical memory that it holds: all of it, heap and external included. */
  readonly residentBytes: number
  /** In use in the heap of V8. */
  readonly heapBytes: number
  /** Held by objects outside of that heap, above all buffers. */
  readonly externalBytes: number
  /** CPU time in ms since it was last asked, of all threads. */
  readonly cpuUserMs: number
  readonly cpuSystemMs: number
}

export class ProcessWatch {
  #former: NodeJS.CpuUsage = { user: 0, system: 0 }

  /** The first time gives the CPU time since the start of the process. Takes some 20 µs. */
  take(): ProcessFigures {
    const { rss, heapUsed, external } = process.memoryUsage()
    const { user, system } = process.cpuUsage()
    const former = this.#former
    this.#former = { user, system }
    return {
      residentBytes: rss,
      heapBytes: heapUsed,
      externalBytes: external,
      cpuUserMs: (user - former.user) / 1_000,
      cpuSystemMs: (system - former.system) / 1_000,
    }
  }
}
