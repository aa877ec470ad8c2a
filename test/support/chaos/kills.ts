/** Kills at random moments: `kill -9`, of what a seed says. */
import type { SeededRandom } from '../seeded-random.ts'
import { isRunning, type Supervised, type SupervisedAmt } from './supervised-amt.ts'

/** `primary` alone, whose workers then have to end by themselves; `proxy` the primary and all workers in one moment. */
const WEIGHTS = { worker: 5, primary: 2, proxy: 1, mixer: 2 } as const
export type KillKind = keyof typeof WEIGHTS

const LEAST_GAP_MS = 20
const MOST_GAP_MS = 1_800
/** How often a part is killed that has not even started. */
const IN_START = 0.2
/** How often it is in the middle of a drain. */
const IN_DRAIN = 0.15
const MOST_DRAIN_MS = 400
/** For workers to notice that their primary is gone. */
const ORPHANS_MS = 10_000
const LOOK_MS = 20

export interface KillLog {
  readonly counts: Record<KillKind, number>
  /** One line a kill, and a line for whatever else happens. */
  readonly lines: string[]
  /** The longest time that a worker lived without its primary. */
  longestOrphanMs: number
  readonly violations: string[]
}

export function newKillLog(): KillLog {
  return {
    counts: { worker: 0, primary: 0, proxy: 0, mixer: 0 },
    lines: [],
    longestOrphanMs: 0,
    violations: [],
  }
}

/** Kills `times`, with `progress` told about each. */
export async function killAtRandom(
  amt: SupervisedAmt,
  random: SeededRandom,
  log: KillLog,
  { times, progress }: { readonly times: number; readonly progress: (done: number) => void },
): Promise<void> {
  const orphans: Promise<void>[] = []
  for (let done = 0; done < times; ) {
    const kind = random.weighted(WEIGHTS)
    const part = kind === 'mixer' ? amt.mixer : amt.proxy
    if (!random.chance(IN_START)) await part.ready
    await pause(random.between(LEAST_GAP_MS, MOST_GAP_MS))
    const pid = await pidOf(part)
    if (kind !== 'worker' && random.chance(IN_DRAIN)) await drainFirst(pid, random, log)
    // It may have ended meanwhile, and its number be that of another process.
    if (part.pid !== pid) continue
    const workers = kind === 'mixer' ? [] : amt.workers
    if (kind === 'worker' && workers.length === 0) continue
    const victims = {
      worker: [random.pick(workers)],
      primary: [pid],
      proxy: [pid, ...workers],
      mixer: [pid],
    }[kind]
    log.counts[kind]++
    log.lines.push(`${Math.round(performance.now())} ms: ${kind} ${victims.join(', ')}`)
    for (const victim of victims) signal(victim, 'SIGKILL')
    if (kind === 'primary') orphans.push(watchOrphans(workers, log))
    // Before it is noticed, what it said of itself still seems to hold.
    if (kind !== 'worker') await until(() => part.pid !== pid)
    done++
    progress(done)
  }
  await Promise.all(orphans)
}

/** Of the next life, where there is none now. */
async function pidOf(part: Supervised): Promise<number> {
  for (;;) {
    if (part.pid !== undefined) return part.pid
    await pause(LOOK_MS)
  }
}

/** Lets the part begin to end in good order, and not get far. */
async function drainFirst(pid: number, random: SeededRandom, log: KillLog): Promise<void> {
  log.lines.push(`${Math.round(performance.now())} ms: drain of ${pid} begins`)
  signal(pid, 'SIGTERM')
  await pause(random.below(MOST_DRAIN_MS))
}

/** Workers whose primary is gone end by themselves. */
async function watchOrphans(workers: readonly number[], log: KillLog): Promise<void> {
  const begun = performance.now()
  const late = (): boolean => performance.now() - begun > ORPHANS_MS
  while (workers.some(isRunning) && !late()) await pause(LOOK_MS)
  log.longestOrphanMs = Math.max(log.longestOrphanMs, Math.round(performance.now() - begun))
  const left = workers.filter(isRunning)
  if (left.length > 0)
    log.violations.push(`${left.length} workers outlive their primary by ${ORPHANS_MS} ms`)
  for (const pid of left) signal(pid, 'SIGKILL')
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended by itself in this moment.
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await pause(LOOK_MS)
}

async function pause(ms: number): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, ms))
}
