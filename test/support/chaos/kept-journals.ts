/**
 * Keeps every segment of a journal by a link of its own, so that what workers wrote can be read after it was shipped and
 * deleted: a number that is wrong in the ledger was wrong in the journal already, or became so on the way.
 */
import { linkSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { UsageRecord } from '../../../src/contracts/usage-report.ts'
import { journaledIn } from '../journal-files.ts'

const LOOK_MS = 25

export class KeptJournals {
  readonly #journal: string
  readonly #kept: string
  readonly #timer: NodeJS.Timeout

  /** Links what appears in the folder `journal` into the folder `kept`. */
  constructor(journal: string, kept: string) {
    this.#journal = journal
    this.#kept = kept
    mkdirSync(kept, { recursive: true })
    this.#timer = setInterval(() => this.#look(), LOOK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#look()
  }

  /** All usage in them, without what is torn or damaged. */
  records(): UsageRecord[] {
    return journaledIn(this.#kept)
  }

  get segments(): number {
    return segmentsIn(this.#kept).length
  }

  #look(): void {
    const known = new Set(segmentsIn(this.#kept))
    for (const name of segmentsIn(this.#journal)) if (!known.has(name)) this.#link(name)
  }

  #link(name: string): void {
    try {
      linkSync(join(this.#journal, name), join(this.#kept, name))
    } catch (error) {
      // Shipped and deleted since it was seen: then it was linked before, or its worker lived for less than a look.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
}

/** Names of the segments in a folder, which need not exist. */
function segmentsIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter(name => name.endsWith('.journal'))
  } catch {
    return []
  }
}
