/** Metrics of exports, in the registry of the mixer. Labels are names of the configuration and closed sets. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { ExportState } from '../../contracts/export-status.ts'

/** What is not acknowledged of an export. */
export interface Backlog {
  readonly state: Exclude<ExportState, 'acknowledged'>
  readonly items: number
  /** Start of the oldest window among them. */
  readonly oldest: number | undefined
}

export interface ExportMetrics {
  /** Items that became this; `later` ones were not taken and will be sent again. */
  settled(name: string, result: Exclude<ExportState, 'pending'> | 'later', items: number): void
  /** Corrections that were written for a window that had been exported. */
  late(name: string, items: number): void
  /** Usage came for a window of which it is not known any more what was exported. */
  tooLate(name: string): void
  /** A pass over this export failed. */
  failed(name: string): void
  backlog(name: string, backlog: readonly Backlog[], now: number): void
  leader(leads: boolean): void
}

export function createExportMetrics(registry: Registry): ExportMetrics {
  const registers = [registry]
  const settled = new Counter({
    name: 'amt_export_items_total',
    help: 'Items that were given to the sink of an export or given up, by what became of them.',
    labelNames: ['export', 'result'],
    registers,
  })
  const late = new Counter({
    name: 'amt_export_late_total',
    help: 'Corrections for windows that had been exported before all of their usage was there.',
    labelNames: ['export'],
    registers,
  })
  const tooLate = new Counter({
    name: 'amt_export_too_late_total',
    help: 'Windows whose late usage cannot be exported any more.',
    labelNames: ['export'],
    registers,
  })
  const failed = new Counter({
    name: 'amt_export_failures_total',
    help: 'Passes over an export that failed, because of the ledger or of the configuration.',
    labelNames: ['export'],
    registers,
  })
  const waiting = new Gauge({
    name: 'amt_export_items',
    help: 'Items that are not acknowledged, by state; all but pending ones wait for an operator.',
    labelNames: ['export', 'state'],
    registers,
  })
  const oldest = new Gauge({
    name: 'amt_export_oldest_pending_seconds',
    help: 'Age of the oldest window with an item that is not acknowledged yet.',
    labelNames: ['export'],
    registers,
  })
  const leader = new Gauge({
    name: 'amt_export_leader',
    help: 'Whether this mixer is the one that exports.',
    registers,
  })
  return {
    settled: (name, result, items) => settled.inc({ export: name, result }, items),
    late: (name, items) => late.inc({ export: name }, items),
    tooLate: name => tooLate.inc({ export: name }),
    failed: name => failed.inc({ export: name }),
    backlog(name, backlog, now) {
      // They exist before they count, so that a first event shows as an increase.
      for (const counter of [late, tooLate, failed]) counter.inc({ export: name }, 0)
      for (const { state, items } of backlog) waiting.set({ export: name, state }, items)
      const from = backlog.find(({ state }) => state === 'pending')?.oldest
      oldest.set({ export: name }, from === undefined ? 0 : Math.max(0, now - from) / 1_000)
    },
    leader: leads => leader.set(leads ? 1 : 0),
  }
}
