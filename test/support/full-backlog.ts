/** A deployment that is there and never accepts: the kernel leaves further connections unanswered once its queue is full. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import type { ManualDeployment } from './manual-deployment.ts'

/** Listens with the shortest queue, and then does not turn its event loop any more. */
const LISTENER = `
  const server = require('node:net').createServer()
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    process.send(server.address().port, () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000))
  })`

export async function fullBacklog(): Promise<ManualDeployment> {
  const child = fork('-e', [LISTENER], {
    execArgv: [],
    execPath: process.execPath,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const [port] = (await once(child, 'message')) as [number]
  const fillers = Array.from({ length: 4 }, () => net.connect({ port, host: '127.0.0.1' }))
  for (const filler of fillers) filler.on('error', () => {})
  await once(fillers[0] as net.Socket, 'connect')
  return {
    port,
    peers: [],
    next: () => Promise.reject(new Error('it never accepts')),
    close: async () => {
      for (const filler of fillers) filler.destroy()
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}
