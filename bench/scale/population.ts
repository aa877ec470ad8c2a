/** The tenants of a scale benchmark, and the files that they are configured in. */
import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatApiKey } from '../../src/core/api-key.ts'

/** Of the tenants, so many stand in files of their own, in a directory; the others are lines of one file. */
const IN_DIRECTORY = 5

/**
 * Deployments and clients are at so many addresses: each connection that was closed keeps a port of its address for a
 * minute, and looking for a free one among few is slow.
 */
export const LOOPBACKS = 16

/** Tenant number `index`; `revision` changes its limits. All that it claims follows from its number. */
function tenantOf(index: number, port: number, revision: number): object {
  const id = idOf(index)
  return {
    id,
    address: `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
    hosts: [`${id}.example.com`],
    credentials: [
      { apiKey: digestOf(keyOf(index)) },
      { certificate: digestOf(`certificate ${id}`) },
    ],
    deployment: { endpoints: [`http://127.0.0.${1 + (index % LOOPBACKS)}:${port}`] },
    limits: { concurrency: 1_000 + revision },
  }
}

export function idOf(index: number): string {
  return `tenant-${String(index).padStart(6, '0')}`
}

/** The API key of tenant `index`. */
export function keyOf(index: number): string {
  return formatApiKey(idOf(index), createHash('sha256').update(idOf(index)).digest())
}

export class Population {
  readonly size: number
  readonly folder: string
  readonly #port: number
  readonly #lines: string[]
  #revision = 0
  /** The file that was replaced last, open. */
  #former: number | undefined

  /** Writes `size` tenants whose deployments are all at `port` into files in `folder`. */
  constructor(folder: string, size: number, port: number) {
    this.size = size
    this.folder = folder
    this.#port = port
    mkdirSync(join(folder, 'tenants.d'), { recursive: true })
    for (let index = 0; index < this.#inDirectory; index += 1) this.#draftFile(index)()
    this.#lines = Array.from({ length: size - this.#inDirectory }, (_, line) =>
      JSON.stringify(tenantOf(line + this.#inDirectory, port, 0)),
    )
    this.#draftLines()()
  }

  /** As `tenantSources` names them. */
  get sources(): object[] {
    return [{ directory: 'tenants.d' }, { file: 'tenants.jsonl' }]
  }

  /** Gives one tenant other limits, in the file of all. Returns what puts the new file in the place of the old one. */
  changeLine(): () => void {
    this.#revision += 1
    const line = (this.#revision * 7_919) % this.#lines.length
    const index = line + this.#inDirectory
    this.#lines[line] = JSON.stringify(tenantOf(index, this.#port, this.#revision))
    return this.#draftLines()
  }

  /** The same in the file of its own. */
  changeFile(): () => void {
    this.#revision += 1
    return this.#draftFile(this.#revision % this.#inDirectory)
  }

  get #inDirectory(): number {
    return Math.min(IN_DIRECTORY, this.size - 1)
  }

  #draftFile(index: number): () => void {
    // JSON is YAML, too.
    const text = JSON.stringify(tenantOf(index, this.#port, this.#revision))
    return this.#draft(join('tenants.d', `${idOf(index)}.yaml`), text)
  }

  #draftLines(): () => void {
    return this.#draft('tenants.jsonl', `${this.#lines.join('\n')}\n`)
  }

  /**
   * Writes a file to the disk beside its place, so that it is whole at every moment, as careful tools do. What stood there is
   * held until the next one. Of 100,000 lines, either would keep who renames in the kernel for 15 to 40 ms, to write the new
   * file or to give back the memory of the old one, and this process would see too late that all workers have it.
   */
  #draft(name: string, text: string): () => void {
    const path = join(this.folder, name)
    const draft = join(this.folder, '.draft')
    writeFileSync(draft, text, { flush: true })
    if (this.#former !== undefined) closeSync(this.#former)
    this.#former = existsSync(path) ? openSync(path, 'r') : undefined
    return () => renameSync(draft, path)
  }
}

function digestOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}
