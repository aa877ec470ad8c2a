/**
 * Answers behind which a connection is a tunnel: 101, to a protocol that the client has offered (RFC 9110 §7.8), and a
 * 2xx to CONNECT (§9.3.6).
 */

/** Whether an answer with this status can only mean a tunnel. */
export function opensTunnel(method: string, status: number): boolean {
  return status === 101 || (method === 'CONNECT' && status >= 200 && status < 300)
}

/** Whether a 101 is to what the client `offered`, all of it. Both are values of `Upgrade`. */
export function isAgreed(chosen: string, offered: string): boolean {
  if (offered === '') return false
  const offers = protocolsIn(offered)
  const choices = protocolsIn(chosen)
  return choices.length > 0 && choices.every(protocol => offers.includes(protocol))
}

/** Names of protocols say the same in any case (RFC 9110 §16.7). */
function protocolsIn(upgrade: string): string[] {
  return upgrade
    .toLowerCase()
    .split(',')
    .map(protocol => protocol.trim())
    .filter(protocol => protocol !== '')
}
