/**
 * The files in a journal's folder: segments that workers write, and what is kept aside for a person. Nothing here
 * interprets a batch. Everything rejects with the error of the file system.
 */
import { constants, createReadStream, createWriteStream } from 'node:fs'
import { access, type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { isNotFound } from '../../runtime/node-errors.ts'
import { FolderLock } from './folder-lock.ts'

export interface SegmentFile {
  readonly producer: string
  readonly number: number
  readonly size: number
  /** When it was last written, in ms since the epoch. */
  readonly modifiedAt: number
}

export interface Listing {
  readonly segments: readonly SegmentFile[]
  /** Batches that the mixer refuses for good, by producer. */
  readonly refused: ReadonlyMap<string, ReadonlySet<number>>
}

/** Why the rest of a segment is kept aside. */
export type Damage = 'corrupt' | 'torn'

const SEGMENT = /^([A-Za-z0-9._-]{1,128})\.([1-9]\d{0,14})\.journal$/
const REFUSED = /^([A-Za-z0-9._-]{1,128})\.([1-9]\d{0,15})\.refused$/

export class JournalFolder {
  readonly path: string
  #lock: FolderLock | undefined

  constructor(path: string) {
    this.path = path
  }

  /** Makes the folder and locks it. Rejects where that cannot be done: better at the start than with the first batch. */
  async open(): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: 0o700 })
    await access(this.path, constants.W_OK | constants.R_OK | constants.X_OK)
    this.#lock = new FolderLock(this.path)
  }

  close(): void {
    this.#lock?.release()
    this.#lock = undefined
  }

  /** `known`: the last word on a segment that nobody writes any more; it is not looked at again. */
  async list(known: (name: string) => SegmentFile | undefined): Promise<Listing> {
    const segments: Promise<SegmentFile | undefined>[] = []
    const refused = new Map<string, Set<number>>()
    for (const name of await readdir(this.path)) {
      const [, producer, number] = SEGMENT.exec(name) ?? []
      if (producer !== undefined) {
        const file = known(name)
        segments.push(
          file === undefined ? this.#look(name, producer, Number(number)) : Promise.resolve(file),
        )
      }
      const [, of, sequence] = REFUSED.exec(name) ?? []
      if (of === undefined) continue
      const numbers = refused.get(of) ?? new Set()
      refused.set(of, numbers.add(Number(sequence)))
    }
    const found = await Promise.all(segments)
    return { segments: found.filter(segment => segment !== undefined), refused }
  }

  /** Undefined where there is no such segment any more. */
  async openSegment(producer: string, number: number): Promise<FileHandle | undefined> {
    try {
      return await open(this.#pathOf(producer, number), 'r')
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }

  async remove(producer: string, number: number): Promise<void> {
    await rm(this.#pathOf(producer, number), { force: true })
  }

  /**
   * Moves what a segment has from `offset` on to a file of its own, whose path it returns. Interrupted, it can be done
   * again: the segment is cut only once its rest is on the disk.
   */
  async cut(producer: string, number: number, offset: number, why: Damage): Promise<string> {
    const segment = this.#pathOf(producer, number)
    const aside = `${segment}.${why}`
    const temporary = `${aside}.tmp`
    await pipeline(
      createReadStream(segment, { start: offset }),
      createWriteStream(temporary, { mode: 0o600 }),
    )
    await this.#publish(temporary, aside)
    const file = await open(segment, 'r+')
    try {
      await file.truncate(offset)
      await file.sync()
    } finally {
      await file.close()
    }
    return aside
  }

  /** Keeps a batch that the mixer refuses. On the disk, when this resolves; the number is then in each listing. */
  async keepRefused(producer: string, sequence: number, content: Uint8Array): Promise<string> {
    const path = join(this.path, `${producer}.${sequence}.refused`)
    const temporary = `${path}.tmp`
    const file = await open(temporary, 'w', 0o600)
    try {
      await file.writeFile(content)
    } finally {
      await file.close()
    }
    await this.#publish(temporary, path)
    return path
  }

  #pathOf(producer: string, number: number): string {
    return join(this.path, segmentName(producer, number))
  }

  async #look(name: string, producer: string, number: number): Promise<SegmentFile | undefined> {
    try {
      const { size, mtimeMs } = await stat(join(this.path, name))
      return { producer, number, size, modifiedAt: mtimeMs }
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }

  /** A file that is complete and outlives a power cut, or is not there. */
  async #publish(temporary: string, path: string): Promise<void> {
    await sync(temporary)
    await rename(temporary, path)
    await sync(this.path)
  }
}

export function segmentName(producer: string, number: number): string {
  return `${producer}.${number}.journal`
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
