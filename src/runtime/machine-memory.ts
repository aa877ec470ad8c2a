/** How much memory there is for the processes of the proxy. */
import { totalmem } from 'node:os'

/** Bytes that the container has, or the machine where there is no such bound. */
export function machineMemory(): number {
  const bound = process.constrainedMemory()
  const all = totalmem()
  // 0 where it is not known, and more than there is where there is none.
  return bound > 0 && bound < all ? bound : all
}
