/**
 * Calls at a rate that does not depend on how fast they are answered. A call's time runs from when it was due, whether it
 * could be sent then or not: a proxy that stalls is charged with all the calls that waited meanwhile, as its users would
 * see it ("coordinated omission" is to leave them out). wrk cannot do that.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { LOAD_CPU, runProgram } from '../harness/program.ts'
import type { Work } from '../harness/work.ts'
import type { Load } from './load.ts'

/** How late the load itself may be, at its 99th percentile, before that must be told. */
const LATE_MS = 0.2

export interface PacedSettings {
  readonly work: Pick<Work, 'tls' | 'field' | 'path' | 'tenants'>
  readonly port: number
  readonly seconds: number
  /** Calls a second. */
  readonly rate: number
  readonly connections: number
}

const resultSchema = z.object({
  calls: z.number(),
  seconds: z.number(),
  p50Ms: z.number(),
  p99Ms: z.number(),
  /** 99th percentile of how late calls were sent although a connection was free. */
  lateMs: z.number(),
})
export type PacedResult = z.output<typeof resultSchema>

export function paced(connections: number): Load {
  return async ({ work, port, seconds, rate }) => {
    const { tls, field, path, tenants } = work
    const settings: PacedSettings = {
      work: { tls, field, path, tenants },
      port,
      seconds,
      rate,
      connections,
    }
    const file = join(work.folder, 'paced.json')
    writeFileSync(file, JSON.stringify(settings), { mode: 0o600 })
    const main = join(import.meta.dirname, 'paced-program.ts')
    const command = ['nice', '-n', '19', process.execPath, main, file]
    const output = await runProgram(LOAD_CPU, command, seconds + 30)
    const { calls, lateMs, ...rest } = resultSchema.parse(JSON.parse(output))
    const note = `the load itself was ${lateMs.toFixed(2)} ms late at its p99`
    const told = lateMs > LATE_MS ? { note } : {}
    return { ...rest, ...told, units: calls, calls, open: 0, bytes: 0 }
  }
}
