/** CPU time of processes, from /proc: it stays right on a machine that others use too, where calls a second do not. */
import { readdirSync, readFileSync } from 'node:fs'

/** `USER_HZ`: the unit of /proc on every Linux, whatever the kernel's own tick. */
const TICKS_PER_SECOND = 100

/** One tick of user and one of system time may be cut off a difference. */
export const CPU_ERROR_SECONDS: number = 2 / TICKS_PER_SECOND

export interface ProcessStat {
  readonly parent: number
  /** User and system time of all its threads; not of its children. */
  readonly cpuSeconds: number
}

/** Reads the text of /proc/PID/stat. Throws where it is none. */
export function parseProcessStat(text: string): ProcessStat {
  // The second field is the program's name in parentheses, and may hold blanks and parentheses itself.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [parent, user, system] = [fields[1], fields[11], fields[12]].map(Number)
  if (!Number.isInteger(parent) || !Number.isInteger(user) || !Number.isInteger(system))
    throw new Error(`not the stat of a process: ${text.slice(0, 100)}`)
  return {
    parent: parent as number,
    cpuSeconds: ((user as number) + (system as number)) / TICKS_PER_SECOND,
  }
}

/** Sum over processes. Throws where one of them has ended: what it used is then unknown. */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + statOf(pid).cpuSeconds, 0)
}

/** Processes that `pid` has started and that run. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(candidate => {
      try {
        return statOf(candidate).parent === pid
      } catch {
        return false // ended since the directory was read
      }
    })
}

function statOf(pid: number): ProcessStat {
  return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))
}
