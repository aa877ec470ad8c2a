/**
 * Holds back what has changed in the tenant sources until it is whole. What was renamed into its place is, and goes at
 * once; what is written in place is only when nobody writes any more, which nothing says: half a file that ends with a
 * line looks like a file without the other tenants.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Touched } from '../../config/touched.ts'

/** Changes that come together are one. */
const GATHER_MS = 5
/** How long a tenant's file that was written in place, or is gone, must have been left alone. */
const FILE_QUIET_MS = 300
/** The same for a file of many tenants, of which a part passes for a whole more easily. */
const LINES_QUIET_MS = 1_000
/** The same where it looks like a part, and for a directory that has come anew. */
const SETTLE_MS = 2_000
/** What is whole does not wait longer for what else is changing. */
const LONGEST_COMPANY_MS = 1_000
/** What never comes to rest is read all the same, unless it looks like a part. */
const LONGEST_WAIT_MS = 10_000
const NEWLINE = 10

export interface WatchedSource {
  /** Absolute. */
  readonly path: string
  readonly kind: 'directory' | 'file'
}

interface Pending {
  readonly source: WatchedSource
  /** Of a file in a directory; undefined for the source as a whole. */
  readonly name: string | undefined
  /** `whole`: what was renamed, as long as nothing is written to it. */
  kind: 'whole' | 'written' | 'settling'
  readonly firstAt: number
  lastAt: number
}

export class ChangeGate {
  readonly #onReady: (touched: Touched) => void
  readonly #pending = new Map<string, Pending>()
  /** Of file sources when they were last let through. */
  readonly #sizes = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #deciding: NodeJS.Immediate | undefined

  constructor(sources: readonly WatchedSource[], onReady: (touched: Touched) => void) {
    this.#onReady = onReady
    for (const source of sources) this.#remember(source)
  }

  /** Something was renamed to this, created, or is no longer there. */
  renamed(source: WatchedSource, name?: string): void {
    this.#note(source, name, 'whole')
  }

  /** Something was written to this. */
  written(source: WatchedSource, name?: string): void {
    this.#note(source, name, 'written')
  }

  /** Anything may have happened to the source, and may go on. */
  unsettled(source: WatchedSource): void {
    this.#pending.delete(source.path)
    this.#note(source, undefined, 'settling')
  }

  close(): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#deciding)
    this.#pending.clear()
  }

  #note(source: WatchedSource, name: string | undefined, kind: Pending['kind']): void {
    const now = performance.now()
    const all = this.#pending.get(source.path)
    if (all !== undefined && (name !== undefined || all.kind === 'settling')) {
      // It is looked at as a whole, and that only when it is at rest.
      all.lastAt = now
      return
    }
    const key = name === undefined ? source.path : `${source.path}\0${name}`
    const known = this.#pending.get(key)
    if (known === undefined && name === undefined) this.#forget(source)
    if (known === undefined)
      this.#pending.set(key, { source, name, kind, firstAt: now, lastAt: now })
    else {
      known.lastAt = now
      if (kind !== 'whole') known.kind = kind
    }
    this.#wakeAt(now + (kind === 'whole' ? GATHER_MS : quietOf(source, kind)))
  }

  #forget(source: WatchedSource): void {
    for (const [key, each] of this.#pending) if (each.source === source) this.#pending.delete(key)
  }

  #wakeAt(at: number): void {
    if (this.#timerAt <= at) return
    clearTimeout(this.#timer)
    this.#timerAt = at
    this.#timer = setTimeout(() => this.#look(), Math.max(0, at - performance.now()))
  }

  #look(): void {
    this.#timer = undefined
    this.#timerAt = Number.POSITIVE_INFINITY
    for (const each of this.#pending.values()) {
      // Empty is what was created a moment ago; what is gone may be on its way to be written anew.
      if (each.kind === 'whole' && sizeOf(pathOf(each)) === 0) each.kind = 'written'
    }
    // Not before all is heard that was written until now: a file that has content without a word of it was renamed.
    clearImmediate(this.#deciding)
    this.#deciding = setImmediate(() => this.#decide())
  }

  #decide(): void {
    const now = performance.now()
    const ready = new Map<string, Pending>()
    const waiting: Pending[] = []
    for (const [key, each] of this.#pending) {
      if (readyAt(each, this.#looksLikeAPart(each)) <= now) ready.set(key, each)
      else waiting.push(each)
    }
    const touched = new Touched()
    for (const [key, each] of ready) {
      const inCompany = waiting.some(({ kind }) => kind === each.kind)
      const longest =
        LONGEST_COMPANY_MS + (each.kind === 'whole' ? 0 : quietOf(each.source, each.kind))
      if (inCompany && now < each.firstAt + longest) {
        waiting.push(each)
        continue
      }
      this.#pending.delete(key)
      touched.add(each.source.path, each.name === undefined ? 'all' : new Set([each.name]))
      this.#remember(each.source)
    }
    for (const each of waiting) {
      const at = readyAt(each, this.#looksLikeAPart(each))
      // A timer counts from when its turn of the event loop began, and so may come a little too early.
      this.#wakeAt(at > now ? at : now + GATHER_MS)
    }
    if (!touched.empty) this.#onReady(touched)
  }

  #remember({ path, kind }: WatchedSource): void {
    if (kind === 'file') this.#sizes.set(path, sizeOf(path))
  }

  #looksLikeAPart({ source, kind }: Pending): boolean {
    if (source.kind !== 'file' || kind !== 'written') return false
    return sizeOf(source.path) < (this.#sizes.get(source.path) ?? 0) || !endsWithALine(source.path)
  }
}

function readyAt({ source, kind, firstAt, lastAt }: Pending, looksLikeAPart: boolean): number {
  if (kind === 'whole') return lastAt + GATHER_MS
  if (looksLikeAPart) return lastAt + SETTLE_MS
  return Math.min(lastAt + quietOf(source, kind), firstAt + LONGEST_WAIT_MS)
}

function quietOf(source: WatchedSource, kind: Pending['kind']): number {
  if (kind === 'settling') return SETTLE_MS
  return source.kind === 'file' ? LINES_QUIET_MS : FILE_QUIET_MS
}

function pathOf({ source, name }: Pending): string {
  return name === undefined ? source.path : join(source.path, name)
}

/** 0 for what is not there, too. */
function sizeOf(path: string): number {
  try {
    return statSync(path).size
  } catch {
    return 0
  }
}

function endsWithALine(path: string): boolean {
  try {
    const descriptor = openSync(path, 'r')
    try {
      const last = Buffer.alloc(1)
      readSync(descriptor, last, 0, 1, fstatSync(descriptor).size - 1)
      return last[0] === NEWLINE
    } finally {
      closeSync(descriptor)
    }
  } catch {
    return false
  }
}
