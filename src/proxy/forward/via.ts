/**
 * How this proxy is named in `Via` (RFC 9110 §7.6.3), and how it knows itself again: a call that has passed here before
 * goes in a circle, and each round would cost a connection on both sides until one of them runs out.
 */
import { randomBytes } from 'node:crypto'

/** So many that no two proxies in a chain make the same. */
const INSTANCE_BYTES = 6

/** What tells one running proxy from all others. */
export function randomInstance(): string {
  return randomBytes(INSTANCE_BYTES).toString('hex')
}

/** A token. The instance keeps two proxies of one service, one behind the other, from being taken for a circle. */
export function pseudonymOf(service: string, instance: string): string {
  return `${service}-${instance}`
}

/** Whether one of the hops in `via`, a field value or several joined by commas, goes by this name. */
export function hasPassed(via: string, pseudonym: string): boolean {
  // Nearly always: no need to look at each hop.
  if (!via.includes(pseudonym)) return false
  return via.split(',').some(hop => hop.trim().split(/[ \t]+/)[1] === pseudonym)
}
