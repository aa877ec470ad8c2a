/** A shipper over a folder of the test, which asks often and waits for nothing. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { ReportResultLabel } from '../../src/proxy/primary/metrics.ts'
import { JournalShipper, type ShipperDeps } from '../../src/proxy/shipping/journal-shipper.ts'
import type { ShipperLimits } from '../../src/proxy/shipping/shipper-limits.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { LogLines } from './log-lines.ts'

export interface StartedShipper {
  readonly shipper: JournalShipper
  readonly log: LogLines
  readonly results: ReportResultLabel[]
}

const AT_ONCE: Partial<ShipperLimits> = {
  pollMs: 2,
  quietMs: 0,
  firstRetryMs: 1,
  shortestMs: 0,
  retryMs: 1,
}

export async function startShipper(
  t: Test,
  folder: string,
  client: ShipperDeps['client'],
  limits: Partial<ShipperLimits> = {},
): Promise<StartedShipper> {
  const log = new LogLines()
  const results: ReportResultLabel[] = []
  const shipper = new JournalShipper(
    {
      folder,
      client,
      proxy: 'proxy-1',
      clock: systemClock,
      logger: log.logger,
      onResult: result => results.push(result),
    },
    { ...AT_ONCE, ...limits },
  )
  await shipper.start()
  t.teardown(async () => shipper.close(0))
  return { shipper, log, results }
}

export function journalFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'amt-journal-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Asks until it holds; the time limit of the test is the limit. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 1))
}
