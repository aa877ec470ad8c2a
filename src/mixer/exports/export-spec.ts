/** An export as the exporter works with it: what of the ledger it takes, without how its sink is spoken to. */
import type { ExportConfig } from '../../config/export-schema.ts'
import { USAGE_GRAINS } from '../../contracts/usage-query.ts'

export interface ExportSpec {
  readonly name: string
  readonly kind: ExportConfig['kind']
  /** Part of every id. */
  readonly source: string
  readonly windowMs: number
  /** How long after its end a window is closed. */
  readonly delayMs: number
  readonly keepMs: number
  readonly metrics: readonly string[]
  readonly byOperation: boolean
  /** Start of the first window, where the configuration names a time. */
  readonly since: number | undefined
}

export function exportSpec(config: ExportConfig, serviceName: string): ExportSpec {
  const windowMs = USAGE_GRAINS[config.window]
  return {
    name: config.name,
    kind: config.kind,
    source: config.source ?? `amt/${serviceName}`,
    windowMs,
    delayMs: config.delay,
    keepMs: config.keep,
    metrics: [...new Set(config.metrics)],
    byOperation: config.by.includes('operation'),
    since: config.since === undefined ? undefined : floorTo(Date.parse(config.since), windowMs),
  }
}

/**
 * What must stay as it was when the export first ran: with another one the same usage would have other ids, or be cut into
 * other items, and be billed a second time wherever a window is looked at again.
 */
export function shapeOf({ source, windowMs, byOperation }: ExportSpec): string {
  return JSON.stringify({ source, windowMs, byOperation })
}

/** Start of the window that `time` is in. */
export function floorTo(time: number, windowMs: number): number {
  return Math.floor(time / windowMs) * windowMs
}
