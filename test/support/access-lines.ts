/** The access log of a proxy that runs in the process of the test. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'

export type AccessLine = Readonly<Record<string, string | number>>

export class AccessLines {
  readonly path: string

  constructor(t: Test) {
    this.path = join(t.testdir(), 'access.log')
  }

  /** Those that are written, of one kind or of all. */
  of(kind?: 'call' | 'connection'): AccessLine[] {
    if (!existsSync(this.path)) return []
    return readFileSync(this.path, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map(line => JSON.parse(line) as AccessLine)
      .filter(line => kind === undefined || line.kind === kind)
  }

  /** As soon as there are so many; what there is after a while. */
  async await(kind: 'call' | 'connection', count: number): Promise<AccessLine[]> {
    const deadline = performance.now() + 5_000
    while (this.of(kind).length < count && performance.now() < deadline)
      await new Promise(resolve => setTimeout(resolve, 10))
    return this.of(kind)
  }
}
