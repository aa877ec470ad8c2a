/** How far each export has come: which windows are closed, and since when it has which metric. */
import type { Database, SqlSession } from '../ledger/database.ts'
import { type ExportSpec, floorTo, shapeOf } from './export-spec.ts'

export interface Progress {
  /** Windows that begin before this moment were closed; what comes for them now is late. */
  readonly plannedUntil: number
  /** It is not known any more what was exported of windows before this moment. */
  readonly keptFrom: number
  /** For each metric that is configured: the first window that it is exported of. */
  readonly since: ReadonlyMap<string, number>
}

/** The export cannot go on as it is configured; the message says what to do. */
export class ExportRefused extends Error {
  override readonly name = 'ExportRefused'
}

/** Where the export stands; its first call makes it known to the ledger. Rejects with ExportRefused. */
export async function openProgress(
  database: Database,
  spec: ExportSpec,
  now: number,
): Promise<Progress> {
  return database.transaction(async session => {
    const first = spec.since ?? floorTo(now, spec.windowMs)
    await session.run(
      `INSERT INTO export_progress (export, shape, window_ms, planned_until, kept_from)
       VALUES ($1, $2, $3, $4, $4) ON CONFLICT (export) DO NOTHING`,
      [spec.name, shapeOf(spec), spec.windowMs, first],
    )
    const [row] = await session.all(
      'SELECT shape, planned_until, kept_from FROM export_progress WHERE export = $1',
      [spec.name],
    )
    if (row?.['shape'] !== shapeOf(spec))
      throw new ExportRefused(
        `source, window and by of export ${spec.name} were ${String(row?.['shape'])} when it first ran and must stay; give a changed export another name`,
      )
    const plannedUntil = Number(row['planned_until'])
    const since = await openMetrics(session, spec, plannedUntil)
    return { plannedUntil, keptFrom: Number(row['kept_from']), since }
  })
}

/** A metric that is added later begins with the next window: late usage must not bring its past along for some windows. */
async function openMetrics(
  session: SqlSession,
  spec: ExportSpec,
  plannedUntil: number,
): Promise<ReadonlyMap<string, number>> {
  const rows = await session.all('SELECT metric, since FROM export_metric WHERE export = $1', [
    spec.name,
  ])
  const since = new Map(rows.map(row => [String(row['metric']), Number(row['since'])]))
  for (const metric of since.keys()) {
    if (spec.metrics.includes(metric)) continue
    await session.run('DELETE FROM export_metric WHERE export = $1 AND metric = $2', [
      spec.name,
      metric,
    ])
    since.delete(metric)
  }
  for (const metric of spec.metrics) {
    if (since.has(metric)) continue
    await session.run('INSERT INTO export_metric (export, metric, since) VALUES ($1, $2, $3)', [
      spec.name,
      metric,
      plannedUntil,
    ])
    since.set(metric, plannedUntil)
  }
  return since
}

/** Windows forgotten at once, so that no transaction gets long. */
const FORGOTTEN_AT_ONCE = 50

/** Forgets what was acknowledged of windows that are older than the export keeps. All that is not acknowledged stays. */
export async function forgetOld(
  database: Database,
  spec: ExportSpec,
  { keptFrom, plannedUntil }: Progress,
  now: number,
): Promise<void> {
  const until = Math.min(
    floorTo(now - spec.keepMs, spec.windowMs),
    keptFrom + FORGOTTEN_AT_ONCE * spec.windowMs,
    plannedUntil,
  )
  if (until <= keptFrom) return
  await database.transaction(async session => {
    await session.run(
      'UPDATE export_progress SET kept_from = $2 WHERE export = $1 AND kept_from < $2',
      [spec.name, until],
    )
    await session.run(
      `DELETE FROM export_item WHERE export = $1 AND window_start < $2 AND state = 'acknowledged'`,
      [spec.name, until],
    )
  })
}
