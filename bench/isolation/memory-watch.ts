/** What the processes of AMT hold, from its own metrics, and its open files, from /proc. */
import { readdirSync } from 'node:fs'
import { request } from 'undici'

const FIGURES = ['resident', 'heap', 'external'] as const
const PROCESSES = ['worker', 'primary'] as const

export type MemoryFigure =
  | `${(typeof PROCESSES)[number]} ${(typeof FIGURES)[number]}`
  | 'worker files'

export const MEMORY_FIGURES: readonly MemoryFigure[] = [
  ...PROCESSES.flatMap(of => FIGURES.map(figure => `${of} ${figure}` as const)),
  'worker files',
]

/** Bytes, but for files. */
export type MemorySample = Readonly<Record<MemoryFigure, number>>

export interface MemoryLook {
  readonly memory: MemorySample
  /** Workers that have died so far. */
  readonly restarts: number
}

/** The metrics are those of the last second. Throws where one is missing. */
export async function lookAtMemory(adminPort: number, worker: number): Promise<MemoryLook> {
  const { body } = await request(`http://127.0.0.1:${adminPort}/metrics`)
  const text = await body.text()
  const metric = (name: string, kind: string): number =>
    sumOf(text, new RegExp(`^${name}\\{(?:[^}]*,)?kind="${kind}"[^}]*\\} (\\S+)`, 'gm'), name)
  const figures = PROCESSES.flatMap(of =>
    FIGURES.map(kind => [`${of} ${kind}`, metric(`amt_${of}_memory_bytes`, kind)] as const),
  )
  const memory = {
    ...Object.fromEntries(figures),
    'worker files': readdirSync(`/proc/${worker}/fd`).length,
  } as MemorySample
  const restarts = sumOf(text, /^amt_worker_restarts_total(?:\{[^}]*\})? (\S+)/gm, 'restarts')
  return { memory, restarts }
}

function sumOf(text: string, pattern: RegExp, name: string): number {
  const values = [...text.matchAll(pattern)].map(([, value]) => Number(value))
  if (values.length === 0) throw new Error(`the metrics have no ${name}`)
  return values.reduce((sum, value) => sum + value, 0)
}
