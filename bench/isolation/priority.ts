/**
 * Who gets a CPU first: on a machine that others use too, what is measured must not wait for them. Without the right to say
 * so (root) everything stays as it is.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { requireProgram } from '../harness/program.ts'

/** Of the processes of a terminal, or of whatever started this, as a group: niceness of one counts only within it. */
const GROUP = '/proc/self/autogroup'

/**
 * What goes before a command so that it has the CPU at once whenever it has something to do, also before everything else
 * of the benchmark. For what needs little of it. Empty where this process may not give that.
 */
export function firstInLine(): readonly string[] {
  try {
    const prefix = [requireProgram('chrt', 'util-linux'), '-r', '1']
    execFileSync(prefix[0] as string, [...prefix.slice(1), 'true'], { stdio: 'ignore' })
    return prefix
  } catch {
    return []
  }
}

/**
 * For a Node that is first in line: the threads of V8 wait for one another without sleeping, and with such a priority, on
 * one CPU, that is for ever.
 */
export const WITHOUT_THREADS: readonly string[] = ['--single-threaded', '--v8-pool-size=0']

/** Everything that this process has started and starts, before what others run; until what it gives is called. */
export function favourGroup(): () => void {
  try {
    const before = /nice (-?\d+)/.exec(readFileSync(GROUP, 'latin1'))?.[1] ?? '0'
    const set = (niceness: string): void => writeFileSync(GROUP, niceness)
    const restore = (): void => {
      process.off('exit', restore)
      set(before)
    }
    process.once('exit', restore)
    set(String(constants.priority.PRIORITY_HIGHEST))
    return restore
  } catch {
    return () => {}
  }
}

/** All threads of these processes, before the rest of the group. */
export function favour(pids: readonly number[]): void {
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      try {
        setPriority(Number(thread), constants.priority.PRIORITY_HIGHEST)
      } catch {
        // not allowed, or ended since
      }
    }
  }
}
