/** Which keys of the main file differ, and what can be done about it while the proxy runs. */
import { isDeepStrictEqual } from 'node:util'
import { formatPath, type Path, type Problem, type Source } from '../../config/problem.ts'
import type { Config, ListenerConfig } from '../../config/schema.ts'
import { sameConfig } from '../../core/same-config.ts'

/** Keys that workers take while they run; everything else needs a restart. */
const RELOADABLE: ReadonlySet<string> = new Set([
  'tenants',
  'limits',
  'quotas',
  'listeners',
  'workers',
])
/** What the mixer alone uses: of no interest here, and in force there with its next start. */
const OF_MIXER: ReadonlySet<string> = new Set([
  'ledger',
  'ledgerRetention',
  'exports',
  'mixer.listen',
  'mixer.tls',
])
const MAX_CHANGED_KEYS = 20

export interface ChangedKeys {
  /** The proxy has to be started again for them. */
  readonly fixed: readonly Path[]
  /** The mixer has to. */
  readonly ofMixer: readonly Path[]
}

/** What differs and is not taken by a reload, such as `timeouts.idle`; not without end. */
export function changedKeys(former: Config, next: Config): ChangedKeys {
  const fixed: Path[] = []
  const ofMixer: Path[] = []
  for (const key of Object.keys({ ...former, ...next })) {
    if (RELOADABLE.has(key)) continue
    for (const path of differencesOf([key], valueAt(former, key), valueAt(next, key))) {
      const list = isOfMixer(path) ? ofMixer : fixed
      if (list.length < MAX_CHANGED_KEYS) list.push(path)
    }
  }
  return { fixed, ofMixer }
}

/** Where each stands, and what to do. */
export function refusalsOf(fixed: readonly Path[], source: Source): Problem[] {
  const refusals = fixed.map(path => {
    const { line, column } = source.locate(path)
    return { file: source.file, line, column, path: formatPath(path), message: NEEDS_RESTART }
  })
  return refusals.toSorted((a, b) => a.line - b.line || a.column - b.column)
}

const NEEDS_RESTART =
  'cannot change while the proxy runs: restart it, or put back what was there; a reload takes tenants, limits, quotas, listeners and workers'

/** Whether listeners are others than before, or elsewhere. What their TLS is made of comes to the workers by itself. */
export function sameListeners(former: Config, next: Config): boolean {
  return sameConfig(former.listeners.map(withoutFiles), next.listeners.map(withoutFiles))
}

function withoutFiles(listener: ListenerConfig): object {
  return { ...listener, tls: listener.tls !== undefined }
}

function isOfMixer(path: Path): boolean {
  return OF_MIXER.has(String(path[0])) || OF_MIXER.has(path.slice(0, 2).join('.'))
}

function differencesOf(path: Path, former: unknown, next: unknown): Path[] {
  if (isDeepStrictEqual(former, next)) return []
  const bothLists = Array.isArray(former) && Array.isArray(next) && former.length === next.length
  const bothMaps = isMap(former) && isMap(next)
  if (!bothLists && !bothMaps) return [path]
  return Object.keys({ ...former, ...next }).flatMap(key =>
    differencesOf(
      [...path, bothLists ? Number(key) : key],
      valueAt(former, key),
      valueAt(next, key),
    ),
  )
}

function isMap(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function valueAt(holder: object, key: string): unknown {
  return (holder as Readonly<Record<string, unknown>>)[key]
}
