/**
 * Reads what `/proc` says of the processes of this machine. It is read in slices, since a machine has many descriptors and
 * the mixer other things to do; what changes meanwhile is for the caller to find out.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { isNotFound, isNotPermitted } from '../../runtime/node-errors.ts'
import { type ProcessEntry, ProcessTree } from './process-tree.ts'

/** Longest that the event loop is held. */
const SLICE_MS = 2
/** Descriptors between two looks at the clock. */
const DESCRIPTORS_A_LOOK = 64

export interface Processes {
  readonly tree: ProcessTree
  /** Processes that hold each of the wanted sockets, by inode. */
  readonly holders: ReadonlyMap<string, readonly number[]>
  /** Processes into which this one may not look. */
  readonly hidden: number
}

export class ProcessFiles {
  readonly #root: string
  #sliceEnd = 0

  /** `root`: `/proc`, or what stands for it in tests. */
  constructor(root = '/proc') {
    this.#root = root
  }

  /** The texts of both tables of TCP sockets; undefined where there are none, because this is no Linux. */
  async tcpTables(): Promise<readonly string[] | undefined> {
    const read = async (name: string): Promise<string | undefined> => {
      try {
        return await readFile(join(this.#root, 'net', name), 'latin1')
      } catch (error) {
        // Without IPv6 there is no tcp6.
        if (isNotFound(error)) return undefined
        throw error
      }
    }
    const tables = [await read('tcp'), await read('tcp6')].filter(text => text !== undefined)
    return tables.length === 0 ? undefined : tables
  }

  /** One look at a time; the parts of one are not of one moment. */
  async look(inodes: ReadonlySet<string>): Promise<Processes> {
    const entries = new Map<number, ProcessEntry>()
    const holders = new Map<string, number[]>()
    let hidden = 0
    this.#sliceEnd = performance.now() + SLICE_MS
    for (const name of readdirSync(this.#root)) {
      if (!/^\d+$/.test(name)) continue
      const pid = Number(name)
      const entry = this.#entry(name)
      if (entry === undefined) continue
      entries.set(pid, entry)
      const held = await this.#held(name, inodes)
      if (held === 'hidden') hidden += 1
      // A number that has become another process meanwhile.
      else if (held.size > 0 && this.#entry(name)?.startedAt === entry.startedAt)
        for (const inode of held) holders.set(inode, [...(holders.get(inode) ?? []), pid])
    }
    return { tree: new ProcessTree(entries), holders, hidden }
  }

  /** Undefined where the process is gone. */
  #entry(pid: string): ProcessEntry | undefined {
    try {
      const text = readFileSync(join(this.#root, pid, 'stat'), 'latin1')
      // The name of the program stands in parentheses and may have any in it.
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
      return {
        parent: Number(fields[1]),
        group: Number(fields[2]),
        startedAt: Number(fields[19]),
      }
    } catch {
      return undefined
    }
  }

  /** Those of the sockets that the process holds. */
  async #held(pid: string, inodes: ReadonlySet<string>): Promise<Set<string> | 'hidden'> {
    const folder = join(this.#root, pid, 'fd')
    const held = new Set<string>()
    try {
      for (const [index, descriptor] of readdirSync(folder).entries()) {
        if (index % DESCRIPTORS_A_LOOK === 0) await this.#breathe()
        const inode = inodeOf(join(folder, descriptor))
        if (inode !== undefined && inodes.has(inode)) held.add(inode)
      }
    } catch (error) {
      return isNotPermitted(error) ? 'hidden' : held
    }
    return held
  }

  async #breathe(): Promise<void> {
    if (performance.now() < this.#sliceEnd) return
    await setImmediate()
    this.#sliceEnd = performance.now() + SLICE_MS
  }
}

/** Undefined where the descriptor is no socket, or gone. */
function inodeOf(descriptor: string): string | undefined {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(descriptor))?.[1]
  } catch (error) {
    if (isNotPermitted(error)) throw error
    return undefined
  }
}
