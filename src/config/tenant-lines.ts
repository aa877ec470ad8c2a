/**
 * A file with one JSON tenant a line. It is kept as it was last read, so that of a new one only the lines that differ are
 * parsed: with 100,000 tenants that is a hundredth of the work.
 */
import { isAscii } from 'node:buffer'
import { dirname } from 'node:path'
import type { Dependencies, Env } from './dependencies.ts'
import { fileStamp } from './file-stamp.ts'
import { decodeUtf8 } from './files.ts'
import { KeptFile, type Stretch } from './kept-file.ts'
import { LineSource } from './line-source.ts'
import { LineTable } from './line-table.ts'
import type { Place } from './problem.ts'
import type { TenantEntry } from './tenant-entry.ts'
import {
  MAX_TENANT_BYTES,
  orUndo,
  type PartChange,
  type RawTenant,
  type Reading,
  type Scope,
  type SourceOptions,
  type SourcePart,
} from './tenant-part.ts'
import type { YamlInput } from './yaml-source.ts'

/** Of a whole tenants file: some 500,000 tenants of 500 bytes. */
export const MAX_TENANTS_FILE_BYTES: number = 256 * 1024 * 1024

const NEWLINE = 10

export class TenantLines implements SourcePart {
  readonly #options: SourceOptions
  readonly #directory: string
  readonly #file = new KeptFile()
  #lines = new LineTable()
  /** Of lines that took something from elsewhere. */
  #dependencies: Map<TenantEntry, Dependencies> = new Map()
  #stamp: string | undefined

  constructor(options: SourceOptions) {
    this.#options = options
    this.#directory = dirname(options.path)
  }

  read(scope: Scope, reading: Reading): PartChange | undefined {
    const { path, shown, place } = this.#options
    const stale = new Set<TenantEntry>()
    for (const [entry, dependencies] of this.#dependencies)
      if (!dependencies.hold(reading.env)) stale.add(entry)
    const stamp = fileStamp(path)
    const unchanged = stamp !== undefined && stamp === this.#stamp && stale.size === 0
    if (scope === 'all' && unchanged) return undefined
    // Where the file is the same, what it means may not be.
    const stretch =
      stale.size > 0
        ? this.#file.all(path, MAX_TENANTS_FILE_BYTES)
        : this.#file.difference(path, MAX_TENANTS_FILE_BYTES)
    if ('fault' in stretch) {
      reading.problems.add(place, `the file ${shown} ${stretch.fault}`)
      return undefined
    }
    const formerStamp = this.#stamp
    const change = this.#replace(stretch.value, stale, reading)
    this.#stamp = stamp
    const undo = (): void => {
      change.undo()
      this.#stamp = formerStamp
    }
    return { ...change, undo }
  }

  /** Read as for a change, whatever its stamp says, so that the code for it is there with the first one. */
  isAsRead(): boolean {
    const read = this.#file.difference(this.#options.path, MAX_TENANTS_FILE_BYTES)
    if ('fault' in read) return false
    const { start, end, bytes } = read.value
    return bytes.equals(this.#file.bytes.subarray(start, end))
  }

  placeOf(entry: TenantEntry): Place {
    const { bytes } = this.#file
    const { starts, entries } = this.#lines
    const line = Math.max(0, entries.indexOf(entry))
    const start = starts[line] ?? 0
    const newline = bytes.indexOf(NEWLINE, start)
    const content = decodeUtf8(bytes.subarray(start, newline < 0 ? bytes.length : newline))
    const input = this.#input((content ?? '').trimEnd(), line + 1, {})
    return { source: new LineSource(input), path: [] }
  }

  isBefore(one: TenantEntry, other: TenantEntry): boolean {
    const { entries } = this.#lines
    return entries.indexOf(one) < entries.indexOf(other)
  }

  #replace(stretch: Stretch, stale: ReadonlySet<TenantEntry>, reading: Reading): PartChange {
    const [lines, dependencies] = [this.#lines, this.#dependencies]
    const first = lines.from(stretch.start)
    const count = lines.from(stretch.end) - first
    const former = lines.entries.slice(first, first + count)
    const removed = new Set(former.filter(each => each !== undefined))
    const known = linesOf(this.#file.bytes, lines, { first, count, stale })
    const replaced = this.#file.replace(stretch)
    const back = (): void => {
      this.#file.replace(replaced)
      this.#lines = lines
      this.#dependencies = dependencies
    }
    const fresh = new LineTable()
    // Of a first reading at once, so that messages find where tenants stand.
    if (count === lines.length) this.#lines = fresh
    this.#dependencies = new Map(dependencies)
    const added = orUndo(
      () => this.#readLines(stretch, { first, fresh, known, removed, reading }),
      back,
    )
    for (const entry of removed) this.#dependencies.delete(entry)
    const change = { removed: [...removed], added }
    if (this.#lines === fresh) return { ...change, undo: back }
    const shift = replaced.end - stretch.end
    const formerLines = lines.exchange(first, count, fresh, shift)
    const undo = (): void => {
      lines.exchange(first, fresh.length, formerLines, -shift)
      back()
    }
    return { ...change, undo }
  }

  #readLines(
    { start, bytes }: Stretch,
    { first, fresh, known, removed, reading }: LinesReading,
  ): TenantEntry[] {
    const { starts, entries } = fresh
    const plain = isAscii(bytes)
    const added: TenantEntry[] = []
    for (let at = 0; at < bytes.length; ) {
      const newline = bytes.indexOf(NEWLINE, at)
      const lineEnd = newline < 0 ? bytes.length : newline
      const same = known.size === 0 ? undefined : known.get(bytes.toString('latin1', at, lineEnd))
      starts.push(start + at)
      if (same !== undefined && removed.delete(same)) entries.push(same)
      else {
        if (!reading.hasRoom(this.#options.place)) return added
        const line = { content: bytes.subarray(at, lineEnd), number: first + starts.length }
        const raw = this.#readLine(line, plain, reading)
        const taken = raw && reading.take(raw, this)
        entries.push(taken?.entry)
        if (taken !== undefined) {
          added.push(taken.entry)
          if (raw?.dependencies !== undefined) this.#dependencies.set(taken.entry, raw.dependencies)
          reading.admit(taken)
        }
      }
      at = lineEnd + 1
    }
    return added
  }

  /** `plain`: it is known to be ASCII. */
  #readLine(
    { content, number: line }: { content: Buffer; number: number },
    plain: boolean,
    { env, problems }: Reading,
  ): RawTenant | undefined {
    const long = content.length > MAX_TENANT_BYTES
    const text = long ? undefined : plain ? content.toString('latin1') : decodeUtf8(content)
    if (text === undefined) {
      const message = `the line must be valid UTF-8 of at most ${MAX_TENANT_BYTES} bytes`
      problems.addAt({ file: this.#options.shown, line, column: 1, path: '', message })
      return undefined
    }
    const trimmed = text.trimEnd()
    return trimmed === ''
      ? undefined
      : new LineSource(this.#input(trimmed, line, env)).read(problems)
  }

  #input(text: string, firstLine: number, env: Env): YamlInput {
    const context = { env, directory: this.#directory }
    return { file: this.#options.shown, text, firstLine, context }
  }
}

/** Lines of a former state, as they are written. */
type Known = ReadonlyMap<string, TenantEntry>

interface LinesReading {
  /** Index of the first line. */
  readonly first: number
  /** Takes them. */
  readonly fresh: LineTable
  readonly known: Known
  /** What becomes of those that are in the way; those that are there still are taken out of it. */
  readonly removed: Set<TenantEntry>
  readonly reading: Reading
}

/** Of `count` lines; not of those that are stale. */
function linesOf(
  bytes: Buffer,
  { starts, entries }: LineTable,
  { first, count, stale }: { first: number; count: number; stale: ReadonlySet<TenantEntry> },
): Known {
  const lines = new Map<string, TenantEntry>()
  for (let line = first; line < first + count; line += 1) {
    const entry = entries[line]
    if (entry === undefined || stale.has(entry)) continue
    const [start = 0, next = bytes.length] = [starts[line], starts[line + 1]]
    const end = bytes[next - 1] === NEWLINE ? next - 1 : next
    lines.set(bytes.toString('latin1', start, end), entry)
  }
  return lines
}
