/**
 * What Node's TLS has but does not document, here alone and looked at before it is used. With a Node that has it no more the
 * first handshake is never reached: a listener with TLS says so when it is made.
 */
import type { Socket } from 'node:net'
import {
  createServer,
  type SecureContext,
  type Server,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls'

/** See `TicketKeys`: what Node is to do, and with which keys. */
interface TicketKeySource {
  seal(): readonly unknown[]
  open(name: Buffer): readonly unknown[]
}

interface RawContext {
  enableTicketKeyCallback?: () => void
  onticketkeycallback?: (name: Buffer, iv: Buffer, encrypt: boolean) => readonly unknown[]
}

/**
 * Lets `keys` decide about the session tickets of `context`. Node's own `setTicketKeys` takes one key, so that each change of
 * it would make all tickets worthless at once.
 */
export function useTicketKeys({ context }: SecureContext, keys: TicketKeySource): void {
  const raw = context as RawContext
  if (typeof raw.enableTicketKeyCallback !== 'function') throw missing('ticket key callbacks')
  raw.onticketkeycallback = (name, _iv, encrypt) => (encrypt ? keys.seal() : keys.open(name))
  raw.enableTicketKeyCallback()
}

/**
 * A server that does handshakes with `context` and listens nowhere. Node makes the context of a server itself, out of fewer
 * options than it takes for a context.
 */
export function createListenerServer(options: TlsOptions, context: SecureContext): Server {
  // Without a list of authorities it would read all those that Node knows.
  const server = createServer({ ...options, ca: [] })
  if (!Object.hasOwn(server, '_sharedCreds')) throw missing('a context of a server')
  return Object.assign(server, { _sharedCreds: context })
}

/** The socket that was given to a server's `connection` event for this one to come of it. */
export function socketBeneath(socket: TLSSocket): Socket | undefined {
  // oxlint-disable-next-line eslint/no-underscore-dangle -- this is how Node names it
  return (socket as unknown as { _parent?: Socket })._parent
}

function missing(what: string): Error {
  return new Error(`this version of Node does not have ${what} as the one that AMT brings`)
}
