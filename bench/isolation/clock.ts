/**
 * A thread that says the index of each moment when it has come: Node's timers are whole milliseconds, and late where the
 * event loop is. It sleeps in between, and leaves the CPU to the load.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { monotonicMs } from './monotonic.ts'

const moments = workerData as Float64Array
const port = parentPort as MessagePort
const nobody = new Int32Array(new SharedArrayBuffer(4))

for (let index = 0; index < moments.length; index += 1) {
  const left = (moments[index] as number) - monotonicMs()
  if (left > 0) Atomics.wait(nobody, 0, 0, left)
  port.postMessage(index)
}
