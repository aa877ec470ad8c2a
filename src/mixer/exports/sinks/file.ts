/**
 * Newline-JSON, one file for what was found of a window at one time. The file appears whole under its name or not at all,
 * and where it is written again after a crash it is the same file.
 */
import { mkdir, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { FileConfig } from '../../../config/export-schema.ts'
import { messageOf } from '../../ledger/database.ts'
import { amountOf } from '../amount.ts'
import type { ExportSpec } from '../export-spec.ts'
import type { ExportItem, Outcome, Sink } from '../item.ts'

export function createFileSink({ directory }: FileConfig, spec: ExportSpec): Sink {
  return {
    batch: 'round',
    async deliver(items) {
      const [first] = items
      if (first === undefined) return []
      try {
        await writeWhole(directory, fileName(first, spec), linesOf(items, spec))
        return items.map(() => ({ kind: 'acknowledged' }))
      } catch (cause) {
        const reason = messageOf(cause)
        return items.map((): Outcome => ({ kind: 'later', reason, sent: 'no', fault: 'sink' }))
      }
    },
    close: async () => undefined,
  }
}

/** `NAME-20261125T130000Z-3600s-1.ndjson`; the last number counts what was found of the window later. */
function fileName({ window, round }: ExportItem, { name, windowMs }: ExportSpec): string {
  const start = new Date(window).toISOString().replaceAll(/[-:]|\.\d+/g, '')
  return `${name}-${start}-${windowMs / 1_000}s-${round}.ndjson`
}

function linesOf(items: readonly ExportItem[], spec: ExportSpec): string {
  return items.map(item => `${JSON.stringify(lineOf(item, spec))}\n`).join('')
}

function lineOf(item: ExportItem, spec: ExportSpec): object {
  return {
    id: item.id,
    source: spec.source,
    tenant: item.tenant,
    metric: item.metric,
    ...(item.operation === '' ? {} : { operation: item.operation }),
    window: new Date(item.window).toISOString(),
    windowEnd: new Date(item.window + spec.windowMs).toISOString(),
    revision: Number(item.revision),
    value: amountOf(item),
  }
}

async function writeWhole(directory: string, name: string, text: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const temporary = join(directory, `.${name}.tmp`)
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, join(directory, name))
  // The name is in the directory, which has to be on the disk as well.
  const folder = await open(directory, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
