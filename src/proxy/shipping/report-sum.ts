/** Consecutive batches of a journal, summed into the records of one report. */
import {
  MAX_RECORDS_PER_REPORT,
  MAX_REPORT_BYTES,
  type UsageRecord,
} from '../../contracts/usage-report.ts'
import type { Batch } from './journal-cursor.ts'
import { addTo } from './usage-accounts.ts'

export interface SumLimits {
  readonly records: number
  /** Of the report's body, before it is compressed; an estimate. */
  readonly bodyBytes: number
  /** Entries that are read for one report: what has to be read again when it cannot be delivered. */
  readonly entries: number
}

export const SUM_LIMITS: SumLimits = {
  records: MAX_RECORDS_PER_REPORT,
  bodyBytes: 0.75 * MAX_REPORT_BYTES,
  entries: 2_000_000,
}

/** Of a record in the body, without its names. */
const RECORD_BYTES = 100

export class ReportSum {
  readonly #limits: SumLimits
  /** In an order in which neighbours are alike: gzip makes a third less of it. */
  readonly #records = new Map<string, UsageRecord>()
  /** The sum that a row of the journal went into last: nearly always the right one, and found without making a key. */
  readonly #lastOfRow = new Map<number, UsageRecord>()
  first = 0
  last = 0
  batches = 0
  #bodyBytes = 0
  #entries = 0

  constructor(limits: SumLimits) {
    this.#limits = limits
  }

  get empty(): boolean {
    return this.batches === 0
  }

  /** The first batch always fits. */
  fits({ records }: Batch): boolean {
    const { length } = records
    const limits = this.#limits
    return (
      this.empty ||
      (this.#records.size + length <= limits.records &&
        this.#entries + length <= limits.entries &&
        this.#bodyBytes + length * RECORD_BYTES <= limits.bodyBytes)
    )
  }

  /** The batch behind `last`, or any where there is none yet. Its records belong to the sum then. */
  add({ sequence, records, rows }: Batch): void {
    if (this.empty) this.first = sequence
    this.last = sequence
    this.batches += 1
    this.#entries += records.length
    for (let index = 0; index < records.length; index += 1)
      this.#addRecord(records[index] as UsageRecord, rows[index] as number)
  }

  /** In the order of their keys. */
  records(): UsageRecord[] {
    return [...this.#records.keys()].toSorted().map(key => this.#records.get(key) as UsageRecord)
  }

  #addRecord(record: UsageRecord, row: number): void {
    const last = this.#lastOfRow.get(row)
    if (last !== undefined && isOfKey(last, record)) {
      addTo(last, record, 1)
      return
    }
    const key = keyOf(record)
    const sum = this.#records.get(key)
    this.#lastOfRow.set(row, sum ?? record)
    if (sum === undefined) {
      this.#records.set(key, record)
      this.#bodyBytes += key.length + RECORD_BYTES
    } else addTo(sum, record, 1)
  }
}

function isOfKey(sum: UsageRecord, record: UsageRecord): boolean {
  return (
    sum.window === record.window &&
    sum.tenant === record.tenant &&
    sum.operation === record.operation &&
    sum.code === record.code &&
    sum.listener === record.listener &&
    sum.routability === record.routability
  )
}

function keyOf(record: UsageRecord): string {
  const { tenant, listener, routability, operation, code, window } = record
  return `${listener}\0${routability}\0${operation}\0${code}\0${window}\0${tenant}`
}
