import type { OnTenant } from '../config/config-state.ts'
import { type ConfigStore, openConfig } from '../config/config-store.ts'
import { formatProblem, loadConfig, type Problem } from '../config/load.ts'
import type { Config } from '../config/schema.ts'

/**
 * The configuration in `file` for a command that runs with it: warnings go to stderr; with problems, all of them go there,
 * the exit code is set to 2 and the answer is `undefined`.
 */
export function loadConfigOrReport(
  file: string,
  env: Record<string, string | undefined> = process.env,
): Config | undefined {
  const loaded = loadConfig(file, { env })
  if ('problems' in loaded) return refuse(loaded.problems)
  warn(loaded.warnings)
  return loaded.config
}

/** The same for a process that follows changes, and keeps no tenant as an object; `onTenant` gets each meanwhile. */
export function openConfigOrReport(file: string, onTenant?: OnTenant): ConfigStore | undefined {
  const opened = openConfig(file, { env: process.env, onTenant })
  if ('problems' in opened) return refuse(opened.problems)
  warn(opened.warnings)
  return opened.store
}

function refuse(problems: readonly Problem[]): undefined {
  for (const problem of problems) process.stderr.write(`${formatProblem(problem)}\n`)
  process.exitCode = 2
  return undefined
}

function warn(warnings: readonly string[]): void {
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`)
}
