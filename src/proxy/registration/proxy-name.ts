/** The name under which a proxy registers: kept beside its journal, so that after a restart it replaces what it was. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const FILE = 'proxy.id'
const NAME = /^[A-Za-z0-9-]{1,128}$/

/**
 * The name in `directory`, or `fresh`, which is then kept there. Where it can be neither read nor kept, `fresh` serves
 * until the next start; what was registered under it is then forgotten with time.
 */
export function proxyName(directory: string, fresh: string): string {
  const path = join(directory, FILE)
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    // Whoever is first makes it.
    writeFileSync(path, `${fresh}\n`, { flag: 'wx', mode: 0o600 })
    return fresh
  } catch {
    return readName(path) ?? fresh
  }
}

function readName(path: string): string | undefined {
  try {
    const name = readFileSync(path, 'utf8').trim()
    return NAME.test(name) ? name : undefined
  } catch {
    return undefined
  }
}
