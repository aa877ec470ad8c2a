/** Parts of a request target (RFC 9112 §3.2, RFC 3986 §3.2). */

/** `uri-host [":" port]` without user information: a name, an IPv4 address or a bracketed IPv6 address. */
const AUTHORITY = /^(\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z._~!$&'()*+,;=%-]{1,255})(:\d{0,5})?$/
const HAS_PORT = /:\d{1,5}$/
const ABSOLUTE = /^https?:\/\/([^/?]+)/i

export function isAuthority(text: string): boolean {
  return AUTHORITY.test(text)
}

/** The form of CONNECT, which has no default port (RFC 9112 §3.2.3). */
export function isHostAndPort(text: string): boolean {
  return isAuthority(text) && HAS_PORT.test(text)
}

/** The authority of an absolute-form target, or undefined where the target is not in that form. */
export function authorityOf(target: string): string | undefined {
  const authority = ABSOLUTE.exec(target)?.[1]
  return authority !== undefined && isAuthority(authority) ? authority : undefined
}

/** The origin-form of an absolute-form target: what a deployment is asked for. Other forms stay as they are. */
export function originForm(method: string, target: string): string {
  if (target.charCodeAt(0) === 0x2f) return target
  const scheme = ABSOLUTE.exec(target)
  if (scheme === null) return target
  const rest = target.slice(scheme[0].length)
  // RFC 9112 §3.2.4: the last proxy asks for the server as a whole.
  if (rest === '' && method === 'OPTIONS') return '*'
  return rest.startsWith('/') ? rest : `/${rest}`
}
