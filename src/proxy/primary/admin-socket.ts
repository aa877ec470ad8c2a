/** The place of the admin server: a port, or a unix socket whose file a killed proxy may have left behind. */
import { existsSync, rmSync, statSync } from 'node:fs'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { socketPathOf } from '../../config/admin-schema.ts'
import { describeListenError, isNotFound, nodeErrorCode } from '../../runtime/node-errors.ts'
import { listenInPrivate } from '../../runtime/private-socket.ts'
import { splitAddress } from './admin-address.ts'

/** What `sockaddr_un` has room for on Linux, without its last 0. */
const MAX_SOCKET_PATH_BYTES = 107

export type AdminListenResult =
  | { readonly ok: true; readonly address: string }
  | { readonly ok: false; readonly problem: string }

/** `address` is `host:port` or `unix:PATH`. The result names the real port. */
export async function listenForAdmin(server: Server, address: string): Promise<AdminListenResult> {
  const path = socketPathOf(address)
  const hindrance = path === undefined ? undefined : await makeRoom(path)
  if (hindrance !== undefined)
    return { ok: false, problem: `admin server: ${address}: ${hindrance}` }
  const { promise, resolve } = Promise.withResolvers<AdminListenResult>()
  const refuse = (error: unknown): void =>
    resolve({ ok: false, problem: describeListenError(error, `admin server: ${address}`) })
  server.once('error', refuse)
  const listening = (): void => {
    server.off('error', refuse)
    resolve({ ok: true, address: boundAddress(server, address) })
  }
  if (path === undefined) {
    const { host, port } = splitAddress(address)
    server.listen(port, host, listening)
  } else listenInPrivate(server, path, listening)
  return promise
}

function boundAddress(server: Server, asked: string): string {
  const bound = server.address()
  if (bound === null || typeof bound === 'string') return asked
  return bound.family === 'IPv6'
    ? `[${bound.address}]:${bound.port}`
    : `${bound.address}:${bound.port}`
}

/** Takes a socket away at which nobody listens any more. Returns what keeps the place, if anything does. */
async function makeRoom(path: string): Promise<string | undefined> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
    return `the path of a unix socket has ${MAX_SOCKET_PATH_BYTES} bytes at most, this one has ${Buffer.byteLength(path)}`
  try {
    if (!statSync(path).isSocket()) return 'there is something else than a socket already'
  } catch (error) {
    if (!isNotFound(error)) return String(error)
    return existsSync(dirname(path)) ? undefined : 'its folder is not there'
  }
  if (await isAnswered(path)) return 'another process listens there'
  try {
    rmSync(path, { force: true })
    return undefined
  } catch (error) {
    return `a killed process has left its socket there: ${String(error)}`
  }
}

/** Only a refusal says that nobody listens: somebody may be too busy to accept, or not let this user in. */
async function isAnswered(path: string): Promise<boolean> {
  const socket = connect(path)
  const answered = await new Promise<boolean>(resolve => {
    socket.once('connect', () => resolve(true))
    socket.once('error', error =>
      resolve(!['ECONNREFUSED', 'ENOENT'].includes(nodeErrorCode(error) ?? '')),
    )
  })
  socket.destroy()
  return answered
}
