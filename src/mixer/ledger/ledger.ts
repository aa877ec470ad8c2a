/** What the mixer needs of a ledger; `usage-ledger.ts` is one. Failures are values: a full disk is not a bug. */
import type { Announcement } from '../../contracts/producer-announcement.ts'
import type { UsageDimension, UsageGrain } from '../../contracts/usage-query.ts'
import type { UsageCounter, UsageRecord, UsageReport } from '../../contracts/usage-report.ts'

/** The ledger could not be used; nothing has changed. `detail` is for logs, it may name paths. */
export interface LedgerUnavailable {
  readonly kind: 'unavailable'
  readonly detail: string
}

export type ApplyResult =
  /** The records are durable, and so is everything of this producer up to `durable`, the report's own sequence. */
  | { readonly kind: 'applied'; readonly durable: number }
  /** Its first batch was applied before, whether the others were or not; nothing has changed. */
  | { readonly kind: 'repeated'; readonly durable: number }
  /** Nobody has announced its producer; nothing has changed. */
  | { readonly kind: 'unknown' }
  /** The batch with number `expected` has to come first; nothing has changed. */
  | { readonly kind: 'gap'; readonly expected: number }
  /** With the record at this index a window would pass 2^63 - 1; nothing has changed. */
  | { readonly kind: 'overflow'; readonly record: number }
  | LedgerUnavailable

export type AnnounceResult =
  /** What is durable of each producer, by its name. */
  { readonly kind: 'announced'; readonly durable: ReadonlyMap<string, number> } | LedgerUnavailable

export interface LedgerQuery {
  /** One tenant; all of them where it is left out. */
  readonly tenant?: string
  /** First minute, in milliseconds since the epoch. */
  readonly from: number
  /** First minute that no longer counts. */
  readonly to: number
  readonly grain?: UsageGrain
  readonly dimensions: readonly UsageDimension[]
  /** The most groups to answer. */
  readonly limit: number
  /** Whether the answer may be a page: the first groups, with `more` behind them. Else it is `too-many`. */
  readonly paged?: boolean
  /** Only groups behind this one. */
  readonly after?: LedgerGroupKey
}

/** Which group of a query: its window where it has a grain, and its dimensions in their order. */
export interface LedgerGroupKey {
  readonly window?: number
  readonly dimensions: readonly string[]
}

/** A group of a query: where and what, and its exact sums. */
export interface LedgerGroup {
  /** Start of the grain, in milliseconds since the epoch; only where the query has a grain. */
  readonly window?: number
  readonly dimensions: Readonly<Partial<Pick<UsageRecord, UsageDimension>>>
  readonly sums: Readonly<Record<UsageCounter, bigint>>
}

export type LedgerUsage =
  /** Ordered by window, then by the dimensions as they were asked for; text by its bytes. */
  | { readonly kind: 'usage'; readonly groups: readonly LedgerGroup[]; readonly more: boolean }
  /** There are more groups than the limit. */
  | { readonly kind: 'too-many' }
  /** Some of it is no longer kept in pieces as small as it takes: `unit`s only from `from` on. */
  | { readonly kind: 'expired'; readonly unit: UsageGrain; readonly from: number }
  | LedgerUnavailable

/** Which producers the books are asked of. */
export type LedgerBooksQuery = {
  /** The most tenants whose sums are answered each by itself; 0 for none. */
  readonly tenants: number
} & (
  | { readonly producers: readonly string[] }
  /** All, in the order of their names, from behind `after` on. */
  | { readonly after: string; readonly limit: number }
)

export interface LedgerProducer {
  readonly producer: string
  /** The one that announced it last; empty where that was before proxies did. */
  readonly proxy: string
  /** Its high-water mark. */
  readonly durable: number
  /** When that was last moved, by the mixer's clock, in milliseconds since the epoch. */
  readonly appliedAt: number
  readonly sums: LedgerGroup['sums']
}

export type LedgerBooks =
  | {
      readonly kind: 'books'
      readonly producers: readonly LedgerProducer[]
      /** There are more producers than the limit. */
      readonly more: boolean
      /** Of all that all producers ever reported. */
      readonly reported: LedgerGroup['sums']
      /** Of all usage that is in the ledger or was until it was past retention; the same as `reported`. */
      readonly ledger: LedgerGroup['sums']
      readonly tenants: readonly { readonly tenant: string; readonly sums: LedgerGroup['sums'] }[]
    }
  /** There are more tenants than asked for. */
  | { readonly kind: 'too-many' }
  | LedgerUnavailable

export interface Ledger {
  /** Makes producers known; those that are known already keep what they have. */
  announce(announcement: Announcement): Promise<AnnounceResult>
  /**
   * Adds a report's records and advances its producer's high-water mark, both or neither. What it answers is durable:
   * neither a killed process nor a power cut takes it back. Many processes may apply to one ledger at once.
   */
  apply(report: UsageReport): Promise<ApplyResult>
  /** All groups come from one moment: a report is in all of them or in none. */
  usage(query: LedgerQuery): Promise<LedgerUsage>
  /** The books, of one moment. Reads the whole ledger. */
  books(query: LedgerBooksQuery): Promise<LedgerBooks>
  /** Undefined while a report could be applied. */
  check(): Promise<LedgerUnavailable | undefined>
}
