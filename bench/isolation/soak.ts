/** All noise at once for a long time, beside the quiet tenant: whether what AMT holds stays what it is. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../../test/support/free-ports.ts'
import { childrenOf } from '../harness/process-stat.ts'
import type { RunningAmt } from '../peers/amt.ts'
import { lookAtMemory } from './memory-watch.ts'
import type { NoiseAnswer } from './noise-maker.ts'
import { startAmt } from './peers/amt.ts'
import { favour, favourGroup } from './priority.ts'
import { SCENARIOS } from './scenarios.ts'
import type { SoakStep } from './soak-figures.ts'
import { Stage } from './stage.ts'

const STEP_SECONDS = 10
/** So many looks at least: a third of them is one. */
const MIN_STEPS = 6

export interface SoakOptions {
  readonly seconds: number
  /** An empty one for it alone. */
  readonly folder: string
  /** One line at a time, on what is being done. */
  readonly progress: (line: string) => void
}

export interface SoakResult {
  readonly steps: readonly SoakStep[]
  /** What became of it, by scenario. */
  readonly noise: NoiseAnswer
}

/** Everything that it starts has ended when it resolves or rejects. */
export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const restore = favourGroup()
  const stage = await Stage.set(options.folder)
  try {
    const folder = join(options.folder, 'amt')
    mkdirSync(folder)
    const [port = 0, tlsPort = 0] = await freePorts(2)
    const amt = await startAmt({ scene: stage.scene, folder, port, tlsPort })
    try {
      return await soak(stage, { amt, port, tlsPort }, options)
    } finally {
      await amt.stop()
    }
  } finally {
    await stage.clear()
    restore()
  }
}

interface Soaked {
  readonly amt: RunningAmt
  readonly port: number
  readonly tlsPort: number
}

async function soak(
  stage: Stage,
  { amt, port, tlsPort }: Soaked,
  { seconds, progress }: SoakOptions,
): Promise<SoakResult> {
  const { pid } = amt.program
  const [worker = 0] = childrenOf(pid)
  favour([pid, worker])
  const scenarios = SCENARIOS.map(({ name }) => name)
  const step = Math.min(STEP_SECONDS, seconds / MIN_STEPS)
  progress('warms up')
  await stage.warmUp(scenarios, { port, tlsPort }, step)
  await stage.makeNoise(scenarios, { port, tlsPort })
  const steps: SoakStep[] = []
  const begun = performance.now()
  const passed = (): number => (performance.now() - begun) / 1_000
  while (passed() < seconds) {
    const quiet = await stage.beQuiet(port, step, steps.length)
    amt.program.check()
    const look = await lookAtMemory(amt.adminPort, worker)
    steps.push({ seconds: passed(), ...look, quiet })
    const { memory } = look
    const resident = (memory['worker resident'] / 2 ** 20).toFixed(1)
    const failed = Object.values(quiet.errors).length
    progress(`${passed().toFixed(0)} s: worker ${resident} MiB resident, ${failed} failed`)
  }
  return { steps, noise: await stage.beStill() }
}
