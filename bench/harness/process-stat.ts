/** What processes use, from /proc: CPU time stays right on a machine that others use too, where calls a second do not. */
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

/** Resident memory, summed over processes. Throws as above. */
export function residentBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const kib = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
    if (kib === undefined) throw new Error(`process ${pid} has no memory: it has ended`)
    return sum + Number(kib) * 1_024
  }, 0)
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

/** How many files this process may have open at once; what it starts inherits it (Node raises its own limit to it). */
export function openFileLimit(): number {
  const hard = /^Max open files +\S+ +(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]
  return hard === 'unlimited' ? Infinity : Number(hard)
}

function statOf(pid: number): ProcessStat {
  return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))
}
