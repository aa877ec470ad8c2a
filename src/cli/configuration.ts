import { formatProblem, loadConfig } from '../config/load.ts'
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
  if ('problems' in loaded) {
    for (const problem of loaded.problems) process.stderr.write(`${formatProblem(problem)}\n`)
    process.exitCode = 2
    return undefined
  }
  for (const warning of loaded.warnings) process.stderr.write(`warning: ${warning}\n`)
  return loaded.config
}
