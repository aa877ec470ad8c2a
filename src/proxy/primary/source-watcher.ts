/**
 * Watches the tenant sources and says what in them has changed. A file is watched through its directory: editors and
 * deployment tools replace files by renaming, and a watch on the file itself would stay with the old one.
 */
import { readFileSync, type watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Config } from '../../config/schema.ts'
import type { Touched } from '../../config/touched.ts'
import type { Logger } from '../../runtime/logger.ts'
import { ChangeGate, type WatchedSource } from './change-gate.ts'
import { WatchedDirectory } from './watched-directory.ts'

type TenantSource = Config['tenantSources'][number]

/** Where the system says how many events wait at most. */
const QUEUE_LIMIT_FILE = '/proc/sys/fs/inotify/max_queued_events'
const USUAL_QUEUE_LIMIT = 16_384

export interface SourceWatcherOptions {
  readonly sources: readonly TenantSource[]
  readonly logger: Logger
  /** Called once for changes that come together, when they are whole. */
  readonly onChange: (touched: Touched) => void
  /** `fs.watch`; tests bring their own. */
  readonly watch?: typeof watch
  /** How often a directory is looked at that cannot be watched. */
  readonly pollMs?: number
}

/** The sources that live in one directory. */
interface Interest {
  readonly sources: WatchedSource[]
}

export class SourceWatcher {
  readonly #options: SourceWatcherOptions
  readonly #sources: readonly WatchedSource[]
  readonly #gate: ChangeGate
  readonly #directories: readonly WatchedDirectory[]
  readonly #manyEvents = Math.floor(queueLimit() / 2)
  /** Since the loop of the process last came round. */
  #events = 0

  constructor(options: SourceWatcherOptions) {
    this.#options = options
    this.#sources = options.sources.map(source =>
      'directory' in source
        ? { path: source.directory, kind: 'directory' }
        : { path: source.file, kind: 'file' },
    )
    this.#gate = new ChangeGate(this.#sources, options.onChange)
    const byDirectory = Map.groupBy(this.#sources, directoryOf)
    this.#directories = [...byDirectory].map(([path, sources]) => this.#watch(path, { sources }))
  }

  /** These sources have changed, nobody knows when: somebody may still be at it. */
  suspect(paths: readonly string[]): void {
    for (const source of this.#sources) if (paths.includes(source.path)) this.#gate.written(source)
  }

  close(): void {
    for (const directory of this.#directories) directory.close()
    this.#gate.close()
  }

  #watch(path: string, { sources }: Interest): WatchedDirectory {
    const { logger, watch: watchWith, pollMs } = this.#options
    return new WatchedDirectory({
      path,
      isOurs: name => sources.some(source => concerns(source, name)),
      logger,
      pollMs,
      ...(watchWith === undefined ? {} : { watch: watchWith }),
      events: {
        heard: (event, name) => this.#heard(sources, event, name),
        replaced: whole => {
          for (const source of sources) {
            if (whole) this.#gate.renamed(source)
            else this.#gate.unsettled(source)
          }
        },
        // They have been looked at twice.
        polled: () => {
          for (const source of sources) this.#gate.renamed(source)
        },
      },
    })
  }

  #heard(sources: readonly WatchedSource[], event: string, name: string | null): void {
    this.#count()
    for (const source of sources) {
      // `..data` is how Kubernetes swaps a mounted ConfigMap: a link in the directory changes, the files do not.
      if (name === null || name.startsWith('..')) this.#gate.written(source)
      else if (concerns(source, name)) {
        const file = source.kind === 'directory' ? name : undefined
        if (event === 'rename') this.#gate.renamed(source, file)
        else this.#gate.written(source, file)
      } else if (event === 'change' && name === basename(directoryOf(source)))
        this.#gate.written(source)
    }
  }

  /** Beyond its limit the system drops events, and nothing says so here: from many at once follows that there may be more. */
  #count(): void {
    if (this.#events === 0) setImmediate(() => (this.#events = 0))
    this.#events += 1
    if (this.#events !== this.#manyEvents) return
    this.#options.logger.warn('very many files changed at once: all tenant sources are read')
    for (const source of this.#sources) this.#gate.unsettled(source)
  }
}

function directoryOf({ path, kind }: WatchedSource): string {
  return kind === 'directory' ? path : dirname(path)
}

function concerns({ path, kind }: WatchedSource, name: string): boolean {
  return kind === 'file' ? name === basename(path) : /^[^.#~].*\.ya?ml$/.test(name)
}

function queueLimit(): number {
  try {
    return Number(readFileSync(QUEUE_LIMIT_FILE, 'utf8')) || USUAL_QUEUE_LIMIT
  } catch {
    return USUAL_QUEUE_LIMIT
  }
}
