/** The form of a tenant's host names: those that a client can ask for, in the one spelling in which they are compared. */
import { domainToASCII } from 'node:url'
import { z } from 'zod'

const LABEL = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
const HOST = new RegExp(String.raw`^(\*\.)?${LABEL}(\.${LABEL})*$`)
/** RFC 1035 §2.3.4. */
const MAX_HOST = 253
/** Names never end so: it is how an IPv4 address ends, in any of its spellings (WHATWG URL, "ends in a number checker"). */
const NUMERIC_END = /(^|\.)(\d+|0x[0-9a-f]*)$/

export const hostName = (): z.ZodString =>
  z
    .string()
    .max(MAX_HOST, `must have at most ${MAX_HOST} characters`)
    .regex(HOST, { error: issue => formFault(String(issue.input)) })
    .refine(host => !NUMERIC_END.test(host), {
      error:
        'must be a name: an IP address is no name, the address of a tenant stands under `address`',
    })

/** Says how the name would be written, where that can be known. */
function formFault(host: string): string {
  const wildcard = host.startsWith('*.') ? '*.' : ''
  const bare = host.slice(wildcard.length).replace(/\.$/, '')
  const ascii = wildcard + domainToASCII(bare)
  const known = ascii !== host && HOST.test(ascii) && !/[/?#@\\:]/.test(host)
  const rule = 'must be a host name in lower case, "*." may stand first'
  return known ? `${rule}: ${ascii}` : rule
}
