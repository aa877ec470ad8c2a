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
