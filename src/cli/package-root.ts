import { join } from 'node:path'

/** A path inside the package: `src/cli` of a checkout and `dist/cli` of an installed one lie equally deep. */
export function packageRoot(...parts: string[]): string {
  return join(import.meta.dirname, '..', '..', ...parts)
}
