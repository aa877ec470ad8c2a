/**
 * Answers behind which a connection is a tunnel: 101, to a protocol that the client has offered (RFC 9110 §7.8), and a
 * 2xx to CONNECT (§9.3.6).
 */
import { SLOT } from '../../codec/http1/field-table.ts'
import { FRAMING_BITS } from '../../codec/http1/framing.ts'
import type { ResponseHead } from '../../codec/http1/response-head.ts'

/** Whether an answer with this status can only mean a tunnel. */
export function opensTunnel(method: string, status: number): boolean {
  return status === 101 || (method === 'CONNECT' && status >= 200 && status < 300)
}

/** What of a call decides whether it may end in a tunnel. */
export interface TunnelRequest {
  /** Protocols that the client offers, or ''. */
  readonly upgrade: string
  readonly requestId: string
}

/** The head for the client of an answer that opens a tunnel, or undefined where it is not what the client asked for. */
export function tunnelHeadText(
  head: ResponseHead,
  { upgrade, requestId }: TunnelRequest,
): string | undefined {
  const { status, reason, lines, fields } = head
  let options = ''
  if (status === 101) {
    if (!isAgreed(head, upgrade)) return undefined
    options = `connection: upgrade\r\nupgrade: ${fields.values[SLOT.upgrade]}\r\n`
  } else if ((fields.seen & FRAMING_BITS) !== 0) {
    // §9.3.6 has a client ignore them. One that does not would take the first bytes of the tunnel for the body.
    return undefined
  }
  return `HTTP/1.1 ${status} ${reason}\r\n${lines}${options}x-request-id: ${requestId}\r\n\r\n`
}

/** Whether a 101 is to what the client offered, all of it. */
function isAgreed(head: ResponseHead, offered: string): boolean {
  if (offered === '' || !head.connection.upgrade) return false
  const offers = protocolsIn(offered)
  const chosen = protocolsIn(head.fields.values[SLOT.upgrade] as string)
  return chosen.length > 0 && chosen.every(protocol => offers.includes(protocol))
}

/** Names of protocols say the same in any case (RFC 9110 §16.7). */
function protocolsIn(upgrade: string): string[] {
  return upgrade
    .toLowerCase()
    .split(',')
    .map(protocol => protocol.trim())
    .filter(protocol => protocol !== '')
}
