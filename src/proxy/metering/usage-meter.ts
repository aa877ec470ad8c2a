/**
 * Counts usage in one worker, by tenant, listener, routability, operation and code class. Counters are columns of
 * numbers, indexed by a row that a call looks up once; records with their names are made a few times a second.
 *
 * Whoever counts does so before it hands the bytes on, so that the journal (which takes the rows of a turn before that
 * turn's writes) can stand between counting and sending.
 */
import type { UsageRecord } from '../../contracts/usage-report.ts'
import { CODE_CLASSES, ROUTABILITIES, type Routability } from '../../core/routability.ts'
import type { ConnectionCount } from '../ipc.ts'
import type { Tenant } from '../tenant/tenant.ts'

const WINDOW_MS = 60_000
const ROUTABILITY_COUNT = ROUTABILITIES.length
const CODE_COUNT = CODE_CLASSES.length

/** Names of usage that no configured operation has. */
export const OPERATION_OTHER = 'other'
export const OPERATION_TUNNEL = 'tunnel'
/** Opening and keeping an HTTP connection, apart from its calls. */
export const OPERATION_CONNECTION = 'connection'

/** What a row counts; all but its numbers. */
export interface RowKey {
  readonly tenant: Tenant
  readonly listener: number
  readonly routability: Routability
  /** Index into `UsageMeter.operations`. */
  readonly operation: number
  /** 0 for none, else the first digit of the status. */
  readonly codeClass: number
}

class Row {
  readonly key: RowKey
  calls = 0
  ingress = 0
  egress = 0
  connections = 0
  callMs = 0
  connectionMs = 0
  /** Connections opened since they were last told. */
  opened = 0
  /** Connections open now, and up to when their time is in `connectionMs`. */
  active = 0
  countedUntil = 0
  dirty = false

  constructor(key: RowKey) {
    this.key = key
  }
}

export type { Row as UsageRow }

export class UsageMeter {
  readonly operations: readonly string[]
  readonly #listeners: readonly string[]
  /** By tenant index, then by the packed rest of the key. */
  readonly #rows: (Map<number, Row> | undefined)[] = []
  #dirty: Row[] = []
  readonly #open = new Set<Row>()
  /** Rows whose connections changed since they were last told. */
  readonly #moved = new Set<Row>()
  #window: number
  #closed: UsageRecord[] = []

  /** `operations` are the configured names in their order; `now` is the time of day in ms. */
  constructor(operations: readonly string[], listeners: readonly string[], now: number) {
    this.operations = [...operations, OPERATION_OTHER, OPERATION_TUNNEL, OPERATION_CONNECTION]
    this.#listeners = listeners
    this.#window = startOfWindow(now)
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
   * keeps its index and its id, and so its rows.
   */
  row(
    tenant: Tenant,
    listener: number,
    routability: Routability,
    detail: { operation: number; codeClass: number },
  ): Row {
    let rows = this.#rows[tenant.index]
    if (rows === undefined) {
      rows = new Map()
      this.#rows[tenant.index] = rows
    }
    const routabilityIndex = ROUTABILITIES.indexOf(routability)
    const packed =
      ((listener * ROUTABILITY_COUNT + routabilityIndex) * this.operations.length +
        detail.operation) *
        CODE_COUNT +
      detail.codeClass
    let row = rows.get(packed)
    if (row === undefined) {
      row = new Row({ tenant, listener, routability, ...detail })
      rows.set(packed, row)
    }
    return row
  }

  /** Adds a finished call. */
  call(row: Row, durationMs: number, now: number): void {
    this.#touch(row, now)
    row.calls++
    row.callMs += durationMs
  }

  /** Adds bytes from downstream. */
  ingress(row: Row, bytes: number, now: number): void {
    this.#touch(row, now)
    row.ingress += bytes
  }

  /** Adds bytes to downstream. */
  egress(row: Row, bytes: number, now: number): void {
    this.#touch(row, now)
    row.egress += bytes
  }

  /** A connection was opened; `close` ends its time. */
  open(row: Row, now: number): void {
    this.#touch(row, now)
    this.#countTime(row, now)
    row.connections++
    row.opened++
    this.#moved.add(row)
    row.active++
    this.#open.add(row)
  }

  close(row: Row, now: number): void {
    this.#touch(row, now)
    this.#countTime(row, now)
    row.active--
    this.#moved.add(row)
    if (row.active === 0) this.#open.delete(row)
  }

  /** All that was counted since the last call, closed windows first. */
  take(now: number): UsageRecord[] {
    this.#roll(now)
    this.#collect(now)
    const records = this.#closed
    this.#closed = []
    return records
  }

  /** Openings since the last call and connections open now, of the rows where either changed. */
  takeConnectionCounts(): ConnectionCount[] {
    const counts = [...this.#moved].map(row => {
      const { opened, active, key } = row
      row.opened = 0
      return {
        tenant: key.tenant.id,
        listener: this.#listeners[key.listener] as string,
        routability: key.routability,
        opened,
        active,
      }
    })
    this.#moved.clear()
    return counts
  }

  #touch(row: Row, now: number): void {
    // What is counted in a minute belongs to that minute, whenever it is reported. A clock that was set back goes on in its window.
    if (now >= this.#window + WINDOW_MS) this.#roll(now)
    if (row.dirty) return
    row.dirty = true
    this.#dirty.push(row)
  }

  #roll(now: number): void {
    const window = startOfWindow(now)
    if (window <= this.#window) return
    this.#collect(this.#window + WINDOW_MS)
    this.#window = window
  }

  /** Turns what the rows hold into records of the present window. */
  #collect(until: number): void {
    for (const row of this.#open) {
      this.#countTime(row, until)
      if (row.connectionMs >= 1 && !row.dirty) {
        row.dirty = true
        this.#dirty.push(row)
      }
    }
    for (const row of this.#dirty) {
      this.#closed.push(this.#record(row))
      row.dirty = false
    }
    this.#dirty = []
  }

  #countTime(row: Row, until: number): void {
    if (row.active > 0 && until > row.countedUntil)
      row.connectionMs += row.active * (until - row.countedUntil)
    row.countedUntil = Math.max(until, row.countedUntil)
  }

  #record(row: Row): UsageRecord {
    const { key } = row
    const callMs = Math.floor(row.callMs)
    const connectionMs = Math.floor(row.connectionMs)
    const record: UsageRecord = {
      tenant: key.tenant.id,
      listener: this.#listeners[key.listener] as string,
      routability: key.routability,
      operation: this.operations[key.operation] as string,
      code: CODE_CLASSES[key.codeClass] as UsageRecord['code'],
      window: this.#window,
      calls: row.calls,
      ingress: row.ingress,
      egress: row.egress,
      connections: row.connections,
      connectionMs,
      callMs,
    }
    row.calls = 0
    row.ingress = 0
    row.egress = 0
    row.connections = 0
    // Fractions of a millisecond go into the next record.
    row.callMs -= callMs
    row.connectionMs -= connectionMs
    return record
  }
}

function startOfWindow(now: number): number {
  return Math.floor(now / WINDOW_MS) * WINDOW_MS
}
