/** What a reader must know of the machine to judge the figures. */
import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release } from 'node:os'
import type { Machine } from './result.ts'

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: cpus().length,
    kernel: release(),
    node: process.version,
    commit: commit(),
    load: loadavg()[0] ?? 0,
  }
}

/** With a "+" where the sources differ from it. */
function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', ['-C', import.meta.dirname, ...args], { encoding: 'utf8' }).trim()
    const changed = git('status', '--porcelain', '--untracked-files=no', ':/src', ':/bin') !== ''
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? '+' : ''}`
  } catch {
    return 'unknown' // no git, or no repository
  }
}
