/** What the kernel says that another process is doing. */
import { readFileSync } from 'node:fs'

/** proc_pid_stat(5) */
const STATES: Readonly<Record<string, string>> = {
  R: 'running',
  S: 'sleeping',
  D: 'waiting for a disk',
  T: 'stopped',
  t: 'stopped by a debugger',
  Z: 'ended',
}

/** Undefined where it is gone, or the system does not say it in this way. */
export function processState(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Behind the name, which may contain anything.
    const letter = stat.charAt(stat.lastIndexOf(')') + 2)
    return STATES[letter] ?? letter
  } catch {
    return undefined
  }
}
