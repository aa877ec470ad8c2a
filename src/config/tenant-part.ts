/** What the sources of tenants have in common: how they are read, and what the store of tenants gets from them. */
import type { Dependencies, Env } from './dependencies.ts'
import type { Place, ProblemList } from './problem.ts'
import type { TenantConfig } from './schema.ts'
import type { TenantEntry } from './tenant-entry.ts'
import type { YamlSource } from './yaml-source.ts'

/** One tenant as it was read; its form is not yet checked. */
export interface RawTenant {
  readonly input: unknown
  readonly place: Place
  /** For messages: parses what a fast reader has not parsed. `undefined` if that fails. */
  readonly yaml: () => YamlSource | undefined
  /** Where something in it was replaced. */
  readonly dependencies?: Dependencies
}

/** One time of reading. */
export interface Reading {
  readonly env: Env
  readonly problems: ProblemList
  /** Checks a tenant by itself; `undefined` if it is not valid, which is then among the problems. */
  readonly take: (raw: RawTenant, origin: Origin) => Taken | undefined
  /** Whether there may be more tenants; that there may not is then among the problems, at `place`. */
  readonly hasRoom: (place: Place) => boolean
  /** To be told of each tenant that was taken, once its origin knows where it stands. */
  readonly admit: (taken: Taken) => void
}

export interface Taken {
  readonly entry: TenantEntry
  readonly config: TenantConfig
}

/** Where tenants come from: it knows where each of its own stands. */
export interface Origin {
  placeOf(entry: TenantEntry): Place
  /** Of two of its own. */
  isBefore(one: TenantEntry, other: TenantEntry): boolean
}

/** What is new in a part. */
export interface PartChange {
  readonly removed: readonly TenantEntry[]
  readonly added: readonly TenantEntry[]
  /** As if it had not been read. */
  undo(): void
}

/** What to look at: all that is there, or these names, and what is otherwise known to have changed. */
export type Scope = 'all' | ReadonlySet<string>

/** Tenants that come from one place, and the memory of what was there when it was last read. */
export interface TenantPart extends Origin {
  /**
   * Brings the memory up to date and gives what is new; `undefined` where nothing is, or where it cannot be read, which is
   * then among the problems. With problems the memory is not to be relied on before `undo`.
   */
  read(scope: Scope, reading: Reading): PartChange | undefined
}

/** A part in files of its own. */
export interface SourcePart extends TenantPart {
  /** Whether it is as it was when it was read. Of a file of very many tenants it also readies what its first change takes. */
  isAsRead(env: Reading['env']): boolean
}

/** A tenant source: a part that the main file names. */
export interface SourceOptions {
  /** Absolute. */
  readonly path: string
  /** As the user would name it. */
  readonly shown: string
  /** Where the main file names it; elsewhere when that has been written anew. */
  place: Place
}

/** Of all sources together. */
export const MAX_TENANTS = 500_000
/** Of a tenant's file and of a line of a tenants file. */
export const MAX_TENANT_BYTES = 64 * 1024

/** Where `run` throws, which only a fault of our own can make it, the memory is what it was before. */
export function orUndo<T>(run: () => T, undo: () => void): T {
  try {
    return run()
  } catch (error) {
    undo()
    throw error
  }
}
