/** What tells one state of a file from another without reading it. */
import { statSync } from 'node:fs'

/**
 * Times of files come in steps of a few milliseconds: a file that was changed just before it was looked at may change again
 * and look the same.
 */
const RECENT_MS = 50

/**
 * Equal for a file that has not changed in between. `undefined` where that cannot be said: the file is not there, cannot be
 * looked at, or has changed only now.
 */
export function fileStamp(path: string): string | undefined {
  try {
    const { ino, dev, size, mtimeMs, ctimeMs } = statSync(path)
    if (Date.now() - Math.max(mtimeMs, ctimeMs) < RECENT_MS) return undefined
    return `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`
  } catch {
    return undefined
  }
}
