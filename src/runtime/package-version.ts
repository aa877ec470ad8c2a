import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The version of AMT. */
export function packageVersion(): string {
  // `src/runtime` of a checkout and `dist/runtime` of an installed package lie equally deep.
  const file = join(import.meta.dirname, '..', '..', 'package.json')
  const { version }: { version: string } = JSON.parse(readFileSync(file, 'utf8'))
  return version
}
