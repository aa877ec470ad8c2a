/** Reads the journals in a folder as a shipper does: every batch, in order, and whatever is wrong with them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SEGMENT_HEADER, SegmentReader } from '../../src/contracts/journal-segment.ts'
import type { UsageRecord } from '../../src/contracts/usage-report.ts'

export interface ReadJournal {
  readonly producer: string
  readonly sequences: readonly number[]
  readonly records: readonly UsageRecord[]
  /** Bytes of each segment that are no whole batch, in the order of the segments. */
  readonly torn: readonly number[]
  readonly corrupt: readonly string[]
}

/** The journals in `folder`, by their producers. */
export function readJournals(folder: string): ReadJournal[] {
  const numbers = new Map<string, number[]>()
  for (const name of namesIn(folder)) {
    const [, producer, number] = /^([0-9a-z-]+)\.(\d+)\.journal$/.exec(name) ?? []
    if (producer === undefined) continue
    numbers.set(producer, [...(numbers.get(producer) ?? []), Number(number)])
  }
  return [...numbers].map(([producer, found]) =>
    readJournal(
      producer,
      found
        .toSorted((a, b) => a - b)
        .map(number => readFileSync(join(folder, `${producer}.${number}.journal`))),
    ),
  )
}

/** Every record in `folder`. */
export function journaledIn(folder: string): UsageRecord[] {
  return readJournals(folder).flatMap(({ records }) => records)
}

export function readJournal(producer: string, segments: readonly Buffer[]): ReadJournal {
  const sequences: number[] = []
  const records: UsageRecord[] = []
  const torn: number[] = []
  const corrupt: string[] = []
  for (const bytes of segments) {
    const reader = new SegmentReader()
    const header = SegmentReader.checkHeader(bytes)
    if (header === false) corrupt.push('no header')
    let at = header === true ? SEGMENT_HEADER.length : bytes.length
    for (;;) {
      const found = reader.read(bytes, at)
      if (found.kind === 'corrupt') corrupt.push(found.why)
      if (found.kind !== 'batch') break
      sequences.push(found.sequence)
      records.push(...found.records)
      at = found.end
    }
    torn.push(bytes.length - at)
  }
  return { producer, sequences, records, torn, corrupt }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
