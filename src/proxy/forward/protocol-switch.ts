/** Changing to another protocol on the same connection (RFC 9110 §7.8): only to one that the client has offered. */
import { SLOT } from '../../codec/http1/field-table.ts'
import type { ResponseHead } from '../../codec/http1/response-head.ts'

/** Whether a 101 is what a client agreed to that offered the protocols in `offered`, its `Upgrade` or ''. */
export function isAgreed(head: ResponseHead, offered: string): boolean {
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

/** The head of the 101 for the client. */
export function switchingHeadText(head: ResponseHead, requestId: string): string {
  return (
    `HTTP/1.1 101 ${head.reason}\r\n${head.lines}connection: upgrade\r\n` +
    `upgrade: ${head.fields.values[SLOT.upgrade]}\r\nx-request-id: ${requestId}\r\n\r\n`
  )
}
