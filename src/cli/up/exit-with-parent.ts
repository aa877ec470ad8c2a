/**
 * Loaded into every child of `amt up` before its program (`node --import`): ends the child when `amt up` is gone, however it
 * went, so that a killed `amt up` leaves no process that holds the ports. The program itself knows nothing of it.
 */
import cluster from 'node:cluster'

// The workers of the proxy inherit the flag; they belong to their primary.
if (cluster.isPrimary && process.channel) {
  process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'))
  process.channel.unref() // it must not keep alive a program that has ended
}
