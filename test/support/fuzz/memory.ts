/** Whether a run without an end would grow. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** What the same code, warm, may differ by from one collection to the next. */
const NOISE_BYTES = 12 * 1024 * 1024

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

export class MemoryWatch {
  #before = 0

  /** Call it when everything is warm. */
  begin(): void {
    this.#before = this.#used()
  }

  /** Bytes that came to stay since then, as far as they are more than noise. */
  growth(): number {
    return Math.max(0, this.#used() - this.#before - NOISE_BYTES)
  }

  #used(): number {
    // The second one waits until buffers of the first are given back.
    collect()
    collect()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
}
