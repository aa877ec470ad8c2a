/** A directory with one YAML file a tenant. Of each file is kept what tells whether it has changed. */
import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { Dependencies } from './dependencies.ts'
import { fileStamp } from './file-stamp.ts'
import { readDirectory } from './files.ts'
import { type Location, type Path, type Place, ProblemList, type Source } from './problem.ts'
import type { TenantEntry } from './tenant-entry.ts'
import {
  MAX_TENANT_BYTES,
  orUndo,
  type PartChange,
  type Reading,
  type Scope,
  type SourceOptions,
  type SourcePart,
} from './tenant-part.ts'
import { readYamlFile, type YamlSource } from './yaml-source.ts'

interface KnownFile {
  readonly stamp: string | undefined
  readonly dependencies: Dependencies
  readonly entry: TenantEntry | undefined
}

/** What is done to the memory while it is brought up to date. */
interface Steps {
  readonly removed: TenantEntry[]
  readonly added: TenantEntry[]
  /** What was known of the files that were looked at. */
  readonly former: Map<string, KnownFile | undefined>
}

export class TenantFiles implements SourcePart {
  readonly #options: SourceOptions
  readonly #files = new Map<string, KnownFile>()
  readonly #names = new Map<TenantEntry, string>()

  constructor(options: SourceOptions) {
    this.#options = options
  }

  read(scope: Scope, reading: Reading): PartChange | undefined {
    const names = scope === 'all' ? this.#namesNow(reading) : [...scope].filter(isTenantFile)
    if (names === undefined) return undefined
    const steps: Steps = { removed: [], added: [], former: new Map() }
    orUndo(
      () => this.#look(names, { scope, steps, reading }),
      () => this.#undo(steps),
    )
    if (steps.former.size === 0) return undefined
    const { removed, added } = steps
    return { removed, added, undo: () => this.#undo(steps) }
  }

  isAsRead(env: Reading['env']): boolean {
    const names = readDirectory(this.#options.path)
    if (!('value' in names)) return false
    const there = names.value.filter(isTenantFile)
    return there.length === this.#files.size && there.every(name => this.#isUnchanged(name, env))
  }

  #look(
    names: readonly string[],
    { scope, steps, reading }: { scope: Scope; steps: Steps; reading: Reading },
  ): void {
    if (scope === 'all') {
      const there = new Set(names)
      for (const name of this.#files.keys()) if (!there.has(name)) this.#forget(name, steps)
    }
    for (const name of names) {
      if (scope === 'all' && this.#isUnchanged(name, reading.env)) continue
      if (!this.#isThere(name)) this.#forget(name, steps)
      else if (reading.hasRoom(this.#options.place)) this.#readFile(name, steps, reading)
      else break
    }
    // Where the directory itself has gone, its files have not been removed from it.
    if (scope !== 'all' && steps.removed.length > steps.added.length) this.#namesNow(reading)
  }

  placeOf(entry: TenantEntry): Place {
    const file = join(this.#options.shown, this.#names.get(entry) ?? '')
    return { source: new LaterFile(file, this.#options.path), path: [] }
  }

  isBefore(one: TenantEntry, other: TenantEntry): boolean {
    return (this.#names.get(one) ?? '') < (this.#names.get(other) ?? '')
  }

  /** `undefined` where the directory cannot be read, which is then among the problems. */
  #namesNow({ problems }: Reading): string[] | undefined {
    const { path, shown, place } = this.#options
    const names = readDirectory(path)
    if ('value' in names) return names.value.filter(isTenantFile).toSorted()
    problems.add(place, `the directory ${shown} ${names.fault}`)
    return undefined
  }

  #isUnchanged(name: string, env: Reading['env']): boolean {
    const known = this.#files.get(name)
    if (known?.stamp === undefined) return false
    return known.stamp === fileStamp(join(this.#options.path, name)) && known.dependencies.hold(env)
  }

  /** Also where it cannot be looked at, or is a link that leads nowhere: that is for the reader to tell. */
  #isThere(name: string): boolean {
    try {
      return lstatSync(join(this.#options.path, name), { throwIfNoEntry: false }) !== undefined
    } catch {
      return true
    }
  }

  #readFile(name: string, steps: Steps, reading: Reading): void {
    const stamp = fileStamp(join(this.#options.path, name))
    const file = join(this.#options.shown, name)
    const dependencies = new Dependencies()
    const { env, problems } = reading
    const source = readYamlFile(file, { maxBytes: MAX_TENANT_BYTES, env, problems, dependencies })
    this.#forget(name, steps)
    if (source === undefined) return
    const raw = { input: source.value, place: { source, path: [] }, yaml: () => source }
    const taken = reading.take(raw, this)
    this.#files.set(name, { stamp, dependencies, entry: taken?.entry })
    if (taken === undefined) return
    this.#names.set(taken.entry, name)
    steps.added.push(taken.entry)
    reading.admit(taken)
  }

  #forget(name: string, { removed, former }: Steps): void {
    const known = this.#files.get(name)
    former.set(name, known)
    this.#files.delete(name)
    if (known?.entry === undefined) return
    this.#names.delete(known.entry)
    removed.push(known.entry)
  }

  #undo({ former, added }: Steps): void {
    for (const entry of added) this.#names.delete(entry)
    for (const [name, known] of former) {
      if (known === undefined) this.#files.delete(name)
      else {
        this.#files.set(name, known)
        if (known.entry !== undefined) this.#names.set(known.entry, name)
      }
    }
  }
}

/** Dotfiles are half-written files, editors' locks, and the links that Kubernetes mounts volumes by. */
function isTenantFile(name: string): boolean {
  return /^[^.#~].*\.ya?ml$/.test(name)
}

/** A file that is read again for a message, as 100,000 of them are not kept. */
class LaterFile implements Source {
  readonly file: string
  readonly directory: string
  #parsed: YamlSource | undefined

  constructor(file: string, directory: string) {
    this.file = file
    this.directory = directory
  }

  locate(path: Path, at?: 'key' | 'value'): Location {
    const options = { maxBytes: MAX_TENANT_BYTES, env: {}, problems: new ProblemList() }
    this.#parsed ??= readYamlFile(this.file, options)
    return this.#parsed?.locate(path, at) ?? { line: 1, column: 1 }
  }
}
