/**
 * A socket that is bound and does not listen. One process binds it and keeps it, others listen at it and accept: that is how
 * node:cluster shares an address. Node has no public word for it (`net.BoundSocket` cannot be sent to another process), so
 * its interface to itself is used here and nowhere else, as node:cluster uses it (Node 26.10, lib/internal/cluster).
 */
import { lookup } from 'node:dns/promises'
import * as net from 'node:net'
import { getSystemErrorName } from 'node:util'
import { nodeErrorCode } from './node-errors.ts'

/** Can be sent to another process with a message, and listened at by `net.Server`. */
export interface BoundHandle {
  /** Lets it go in this process. */
  close(): void
}

interface RawHandle extends BoundHandle {
  /** 0, or an error of libuv. */
  getsockname(found: object): number
}

type CreateHandle = (
  ...place: readonly [host: string | null, port: number, family: 4 | 6, descriptor: -1, flags: 0]
) => RawHandle | number

// oxlint-disable-next-line eslint/no-underscore-dangle -- this is how Node names it
const create = (net as unknown as { _createServerHandle: CreateHandle })._createServerHandle

/**
 * Binds `host`, which may be a name; where it is undefined all addresses of the machine, of both families if it has both.
 * Gives the code of the error where that cannot be done, such as EADDRINUSE.
 */
export async function bindHandle(
  host: string | undefined,
  port: number,
): Promise<BoundHandle | string> {
  let address: { readonly address: string | null; readonly family: number } = {
    address: null,
    family: 4,
  }
  try {
    if (host !== undefined) address = await lookup(host)
  } catch (error) {
    return nodeErrorCode(error) ?? 'ENOTFOUND'
  }
  const handle = create(address.address, port, address.family === 6 ? 6 : 4, -1, 0)
  if (typeof handle === 'number') return getSystemErrorName(handle)
  // libuv tells of an address in use only when it is asked for the next thing.
  const error = handle.getsockname({})
  if (error === 0) return handle
  handle.close()
  return getSystemErrorName(error)
}
