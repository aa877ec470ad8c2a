import { FileKeySource } from './file-key-source.ts'
import { HttpKeySource } from './http-key-source.ts'
import type { KeySource, KeySourceOptions, ProblemLog } from './key-source.ts'

/** `location`: an http(s) URL or a path. Opens nothing yet. */
export function createKeySource(
  location: string,
  log: ProblemLog,
  options: KeySourceOptions,
): KeySource {
  return /^https?:\/\//i.test(location)
    ? new HttpKeySource(location, log, options)
    : new FileKeySource(location, log)
}
