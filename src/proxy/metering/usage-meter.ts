/**
 * Counts usage in one worker, by tenant, listener, routability, operation and code class. Counters are fields of a row
 * that a call looks up once; records with their names are made once a second.
 *
 * Whoever counts does so before it hands the bytes on, so that the journal (which takes what was counted before anything
 * is sent) can stand between counting and sending.
 *
 * What is counted belongs to the minute that the clock of the machine shows then. Where that clock is set back by a few
 * minutes, the present minute goes on until it is caught up; where it goes further back it was wrong before, and is
 * followed. The time of connections goes by the monotonic clock, whatever the other one does.
 */
import type { UsageKey } from '../../contracts/journal-segment.ts'
import type { UsageRecord } from '../../contracts/usage-report.ts'
import type { Clock } from '../../core/clock.ts'
import { CODE_CLASSES, ROUTABILITIES, type Routability } from '../../core/routability.ts'
import type { ConnectionCount } from '../ipc.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { UnwrittenUsage } from './unwritten-usage.ts'
import { catchUp, emptyDelta, subtract, UsageRow } from './usage-row.ts'

const WINDOW_MS = 60_000
/** By how much the clock may go back with the present minute going on. */
const MAX_SET_BACK_MS = 5 * 60_000
const ROUTABILITY_COUNT = ROUTABILITIES.length
const CODE_COUNT = CODE_CLASSES.length

/** Names of usage that no configured operation has. */
export const OPERATION_OTHER = 'other'
export const OPERATION_TUNNEL = 'tunnel'
/** Opening and keeping an HTTP connection, apart from its calls. */
export const OPERATION_CONNECTION = 'connection'

export type { UsageRow } from './usage-row.ts'

/** The rows of one tenant by the packed rest of their keys, and the one that was asked for last: mostly it is asked for again. */
interface TenantRows {
  readonly all: Map<number, UsageRow>
  lastPacked: number
  last: UsageRow | undefined
}

export class UsageMeter {
  readonly operations: readonly string[]
  /** What the journal has to take. */
  readonly unwritten: UnwrittenUsage
  readonly #listeners: readonly string[]
  readonly #clock: Clock
  /** By tenant index. */
  readonly #rows: (TenantRows | undefined)[] = []
  #rowCount = 0
  /** Indexes of tenants without traffic, whose rows go as soon as all that they count has been passed on. */
  readonly #forgotten = new Set<number>()
  #untold: UsageRow[] = []
  readonly #open = new Set<UsageRow>()
  /** Rows whose connections changed since they were last told. */
  readonly #moved = new Set<UsageRow>()
  #window: number
  #closed: UsageRecord[] = []

  /** `operations` are the configured names in their order; `listeners` may grow. */
  constructor(operations: readonly string[], listeners: readonly string[], clock: Clock) {
    this.operations = [...operations, OPERATION_OTHER, OPERATION_TUNNEL, OPERATION_CONNECTION]
    this.#listeners = listeners
    this.#clock = clock
    this.#window = startOfWindow(clock.now())
    this.unwritten = new UnwrittenUsage(this.#window)
  }

  get other(): number {
    return this.operations.length - 3
  }

  get tunnel(): number {
    return this.operations.length - 2
  }

  get connection(): number {
    return this.operations.length - 1
  }

  /**
   * The row of a key; the same object every time, so that a connection may keep it. A tenant whose configuration changed
   * keeps its index and its id, and so its rows. `codeClass`: position in `CODE_CLASSES`.
   */
  row(
    tenant: Tenant,
    listener: number,
    routability: Routability,
    detail: { operation: number; codeClass: number },
  ): UsageRow {
    const rows = this.#rows[tenant.index] ?? this.#begin(tenant)
    const packed =
      ((listener * ROUTABILITY_COUNT + ROUTABILITIES.indexOf(routability)) *
        this.operations.length +
        detail.operation) *
        CODE_COUNT +
      detail.codeClass
    if (packed === rows.lastPacked && rows.last !== undefined) return rows.last
    let row = rows.all.get(packed)
    if (row === undefined) {
      row = new UsageRow(this.#rowCount++, {
        tenant: tenant.id,
        listener: this.#listeners[listener] as string,
        routability,
        operation: this.operations[detail.operation] as string,
        code: CODE_CLASSES[detail.codeClass] as UsageKey['code'],
      })
      rows.all.set(packed, row)
    }
    rows.lastPacked = packed
    rows.last = row
    return row
  }

  #begin({ index }: Tenant): TenantRows {
    const rows = { all: new Map<number, UsageRow>(), lastPacked: -1, last: undefined }
    // Without holes: V8 keeps an array with many of them as a hash table.
    while (this.#rows.length <= index) this.#rows.push(undefined)
    this.#rows[index] = rows
    return rows
  }

  /**
   * The tenant has no traffic: what is kept for it goes. A row that somebody has kept counts on, beside a new one for the
   * same key.
   */
  forget(tenant: Tenant): void {
    if (this.#rows[tenant.index] !== undefined) this.#forgotten.add(tenant.index)
  }

  /** Adds a call, and what it has taken so far. */
  call(row: UsageRow, durationMs: number): void {
    this.#touch(row)
    row.counted.calls++
    row.counted.callMs += durationMs
  }

  /** Adds time of a call whose number is counted apart. */
  callTime(row: UsageRow, durationMs: number): void {
    this.#touch(row)
    row.counted.callMs += durationMs
  }

  /** Adds bytes from downstream. */
  ingress(row: UsageRow, bytes: number): void {
    this.#touch(row)
    row.counted.ingress += bytes
  }

  /** Adds bytes to downstream. */
  egress(row: UsageRow, bytes: number): void {
    this.#touch(row)
    row.counted.egress += bytes
  }

  /** Adds gRPC messages of both directions. */
  messages(row: UsageRow, requests: number, responses: number): void {
    this.#touch(row)
    row.counted.requestMessages += requests
    row.counted.responseMessages += responses
  }

  /** A connection was opened; `close` ends its time. */
  open(row: UsageRow): void {
    this.#touch(row)
    countTime(row, this.#clock.monotonic())
    row.counted.connections++
    row.opened++
    this.#moved.add(row)
    row.active++
    this.#open.add(row)
  }

  close(row: UsageRow): void {
    this.#touch(row)
    countTime(row, this.#clock.monotonic())
    row.active--
    this.#moved.add(row)
    if (row.active === 0) this.#open.delete(row)
  }

  /** Counts the time of open connections, which nothing else brings to the journal while they are idle. */
  countOpenTime(): void {
    this.#followClock()
    this.#countOpenTime(this.#clock.monotonic())
  }

  /** All that was counted since the last call, minutes that are over first. */
  take(): UsageRecord[] {
    this.countOpenTime()
    this.#tell()
    const records = this.#closed
    this.#closed = []
    this.#dropForgotten()
    return records
  }

  /** Openings since the last call and connections open now, of the rows where either changed. */
  takeConnectionCounts(): ConnectionCount[] {
    const counts = [...this.#moved].map(row => {
      const { opened, active, key } = row
      row.opened = 0
      const { tenant, listener, routability } = key
      return { tenant, listener, routability, opened, active }
    })
    this.#moved.clear()
    return counts
  }

  #dropForgotten(): void {
    for (const index of this.#forgotten) {
      const rows = this.#rows[index]
      for (const [packed, row] of rows?.all ?? []) {
        const settled = row.active === 0 && !row.unwritten && !row.untold && !this.#moved.has(row)
        if (!settled) continue
        rows?.all.delete(packed)
        if (rows?.last === row) rows.last = undefined
      }
      if (rows !== undefined && rows.all.size > 0) continue
      this.#rows[index] = undefined
      this.#forgotten.delete(index)
    }
  }

  #touch(row: UsageRow): void {
    this.#followClock()
    if (!row.unwritten) this.unwritten.add(row)
    if (!row.untold) {
      row.untold = true
      this.#untold.push(row)
    }
  }

  /** What is counted in a minute belongs to that minute, whenever it is passed on. */
  #followClock(): void {
    const now = this.#clock.now()
    if (now < this.#window + WINDOW_MS && now >= this.#window - MAX_SET_BACK_MS) return
    const window = startOfWindow(now)
    // Of the time that connections were open, what came before the new minute belongs to the old one.
    this.#countOpenTime(this.#clock.monotonic() - (now - window))
    this.#tell()
    this.unwritten.turnTo(window)
    this.#window = window
  }

  #countOpenTime(until: number): void {
    for (const row of this.#open) {
      countTime(row, until)
      const ms = Math.floor(row.counted.connectionMs)
      if (!row.unwritten && ms > row.journaled.connectionMs) this.unwritten.add(row)
      if (!row.untold && ms > row.told.connectionMs) {
        row.untold = true
        this.#untold.push(row)
      }
    }
  }

  /** Turns what the rows have not told into records of the present minute. */
  #tell(): void {
    for (const row of this.#untold) {
      const delta = emptyDelta()
      delta.window = this.#window
      subtract(delta, row.counted, row.told)
      catchUp(row.told, row.counted)
      row.untold = false
      this.#closed.push({ ...row.key, ...delta })
    }
    this.#untold = []
  }
}

function countTime(row: UsageRow, until: number): void {
  if (row.active > 0 && until > row.countedUntil)
    row.counted.connectionMs += row.active * (until - row.countedUntil)
  row.countedUntil = Math.max(until, row.countedUntil)
}

function startOfWindow(now: number): number {
  return Math.floor(now / WINDOW_MS) * WINDOW_MS
}
