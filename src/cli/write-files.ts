/** Files that commands make: whole or not at all, secrets for their owner only, and nothing is overwritten by accident. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { link, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

export interface NewFile {
  readonly path: string
  readonly content: string | Uint8Array
  /** Readable by its owner only (0600) instead of by all (0644). */
  readonly secret: boolean
}

/** The first of the files that is there already. */
export function findExisting(paths: readonly string[]): string | undefined {
  return paths.find(path => existsSync(path))
}

/**
 * Writes the files one after the other, each atomically, and makes their directory (0700) if need be. Without `overwrite`
 * a file that is there stays as it is and the call is rejected with `EEXIST`, also when it came there just now.
 */
export async function writeFiles(files: readonly NewFile[], overwrite: boolean): Promise<void> {
  for (const file of files) {
    await mkdir(dirname(file.path), { recursive: true, mode: 0o700 })
    await writeWhole(file, overwrite)
  }
}

async function writeWhole({ path, content, secret }: NewFile, overwrite: boolean): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.new`
  try {
    const handle = await open(draft, 'wx', secret ? 0o600 : 0o644)
    try {
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    // A link, unlike a rename, fails where the name is taken.
    await (overwrite ? rename(draft, path) : link(draft, path))
  } finally {
    await rm(draft, { force: true })
  }
}
