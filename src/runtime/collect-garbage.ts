/** Asks V8 to collect garbage now: it does so by itself only where somebody allocates. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

let collect: (() => void) | undefined

/** All of it, at once: 10 to 100 ms for the heaps that workers have. */
export function collectGarbage(): void {
  if (collect === undefined) {
    // A new context has the function that the flag asks for, though this one was made without.
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
    setFlagsFromString('--no-expose-gc')
  }
  collect()
}

/**
 * Collects garbage until nothing more is to be had, and gives the system what V8 would keep for later. Reading 100,000 tenants
 * leaves 130 MB of that in a worker, more than the tenants take, and a third of the memory of the primary; it takes some 0.2 s.
 * Nothing happens in a process that was started without `--expose-gc`.
 */
export function giveBackMemory(): void {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}
