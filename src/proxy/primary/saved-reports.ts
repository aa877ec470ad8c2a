/**
 * Usage reports on disk: what could not be shipped before an exit, or does not fit into memory. A file is one report,
 * `<producer>.<sequence>.json`; its name decides which one it is, so that renaming is the atomic way to send it anew
 * under another number. Files are complete or not there. Nothing here ever deletes a report that is not in the ledger.
 */
import {
  accessSync,
  closeSync,
  constants,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { type UsageReport, usageReportSchema } from '../../contracts/usage-report.ts'
import { isNotFound } from '../../runtime/node-errors.ts'

export interface SavedReport {
  readonly producer: string
  readonly sequence: number
  readonly bytes: number
  /** When it was saved, in ms since the epoch. */
  readonly savedAt: number
}

const FILE_NAME = /^([A-Za-z0-9._-]{1,128})\.(\d{1,16})\.json$/

export class SavedReports {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  /** Makes the directory. Throws the error of the file system when it cannot be written: better at the start than at the end. */
  open(): void {
    mkdirSync(this.directory, { recursive: true, mode: 0o700 })
    accessSync(this.directory, constants.W_OK | constants.R_OK | constants.X_OK)
  }

  /** In the order in which they must be sent. */
  list(): SavedReport[] {
    const saved: SavedReport[] = []
    for (const name of readdirSync(this.directory)) {
      const match = FILE_NAME.exec(name)
      const producer = match?.[1]
      if (producer === undefined) continue
      const stats = statSync(join(this.directory, name), { throwIfNoEntry: false })
      if (stats === undefined) continue
      saved.push({
        producer,
        sequence: Number(match?.[2]),
        bytes: stats.size,
        savedAt: stats.mtimeMs,
      })
    }
    return saved.toSorted((a, b) => compare(a.producer, b.producer) || a.sequence - b.sequence)
  }

  /** Throws the error of the file system; then nothing is there. */
  save(report: UsageReport, savedAt: number): SavedReport {
    const bytes = this.#write(fileName(report), report)
    return { producer: report.producer, sequence: report.sequence, bytes, savedAt }
  }

  /** Keeps a report that the mixer will never take, for a person to look at. */
  saveRefused(report: UsageReport): string {
    const name = refusedName(report)
    this.#write(name, report)
    return join(this.directory, name)
  }

  /** `gone`: someone else has shipped it. `damaged`: it is no report; nothing but a person can make use of it. */
  read(saved: SavedReport): UsageReport | 'gone' | 'damaged' {
    let text: string
    try {
      text = readFileSync(join(this.directory, fileName(saved)), 'utf8')
    } catch (error) {
      if (isNotFound(error)) return 'gone'
      throw error
    }
    const { producer, sequence } = saved
    const report = usageReportSchema.safeParse({ ...parseJson(text), producer, sequence })
    return report.success ? report.data : 'damaged'
  }

  remove(saved: SavedReport): void {
    rmSync(join(this.directory, fileName(saved)), { force: true })
  }

  /** From now on it is the first report of `producer`. Throws when somebody else has taken it. */
  renumber(saved: SavedReport, producer: string): SavedReport {
    const renumbered = { ...saved, producer, sequence: 1 }
    this.#rename(fileName(saved), fileName(renumbered))
    return renumbered
  }

  setAside(saved: SavedReport): string {
    this.#rename(fileName(saved), refusedName(saved))
    return join(this.directory, refusedName(saved))
  }

  #rename(from: string, to: string): void {
    renameSync(join(this.directory, from), join(this.directory, to))
    this.#sync()
  }

  #write(name: string, report: UsageReport): number {
    const path = join(this.directory, name)
    const temporary = `${path}.tmp`
    const content = Buffer.from(JSON.stringify(report))
    const file = openSync(temporary, 'w', 0o600)
    try {
      for (let offset = 0; offset < content.length; ) offset += writeSync(file, content, offset)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(temporary, path)
    this.#sync()
    return content.length
  }

  /** A new name outlives a power cut only once its directory is on the disk too. */
  #sync(): void {
    const directory = openSync(this.directory, 'r')
    try {
      fsyncSync(directory)
    } finally {
      closeSync(directory)
    }
  }
}

interface Numbered {
  readonly producer: string
  readonly sequence: number
}

function fileName({ producer, sequence }: Numbered): string {
  return `${producer}.${sequence}.json`
}

/** Does not end in a number and `.json`, so it is never shipped again by itself. */
function refusedName({ producer, sequence }: Numbered): string {
  return `${producer}.${sequence}.refused.json`
}

function parseJson(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
