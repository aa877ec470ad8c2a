/** Takes the PROXY protocol header off an accepted socket, before anything else reads it. */
import type { Socket } from 'node:net'
import { parseProxyHeader } from '../../codec/proxy-protocol.ts'
import { Timer } from '../../core/timer-wheel.ts'
import type { WorkerContext } from '../worker/context.ts'

export interface ProxiedAddresses {
  /** Of the client; undefined where the proxy spoke for itself (LOCAL). */
  readonly source: string | undefined
  readonly destination: string | undefined
}

/**
 * Calls `done` once: with the addresses of the header, the rest of the bytes put back into the socket; or with
 * `invalid`, also where the header did not come within the header timeout. A socket that closes first is forgotten.
 */
export function readProxyHeader(
  context: WorkerContext,
  socket: Socket,
  done: (result: ProxiedAddresses | 'invalid') => void,
): void {
  let bytes: Buffer = Buffer.alloc(0)
  const leave = (): void => {
    context.wheel.cancel(timer)
    socket.off('data', look)
    socket.off('close', leave)
    socket.off('end', fail)
    socket.pause()
  }
  const fail = (): void => {
    leave()
    done('invalid')
  }
  const timer = new Timer({ timerExpired: fail })
  const look = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
    const result = parseProxyHeader(bytes)
    if (result.kind === 'incomplete') return
    if (result.kind === 'invalid') {
      fail()
      return
    }
    leave()
    if (bytes.length > result.length) socket.unshift(bytes.subarray(result.length))
    const { local, source, destination } = result.header
    done(
      local
        ? { source: undefined, destination: undefined }
        : { source: source?.address, destination: destination?.address },
    )
  }
  socket.on('data', look)
  socket.on('close', leave)
  socket.on('end', fail)
  context.wheel.arm(timer, context.config.timeouts.header, context.clock.monotonic())
}
