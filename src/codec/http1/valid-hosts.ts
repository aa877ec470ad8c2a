/**
 * Hosts that came lately and are valid. The text of a head is a new one with each call; whoever compares or looks up the
 * one that is given here sees by its address that it is the same as before. A map that is asked for a new text hashes and
 * internalizes it first (0.7 % of a call).
 */
import { flatCopy } from '../latin1.ts'
import { isAuthority } from './target.ts'

/** A power of two. Hosts that meet in a place push each other out, and are read anew. */
const PLACES = 64
/** Longer ones are not kept. */
const MAX_HOST_CHARS = 255
const PRINTED_CHARS = 32

export class ValidHosts {
  readonly #kept: string[] = Array.from({ length: PLACES }, () => '')

  /** A text that says the same as `host`, which is not empty; undefined where that is no authority (RFC 9110 §7.2). */
  find(host: string): string | undefined {
    const place = printOf(host) & (PLACES - 1)
    const kept = this.#kept[place] as string
    if (kept === host) return kept
    if (!isAuthority(host)) return undefined
    if (host.length > MAX_HOST_CHARS) return host
    // A copy: a part of a head keeps all of it.
    const copy = flatCopy(host) ?? host
    this.#kept[place] = copy
    return copy
  }
}

function printOf(host: string): number {
  let print = host.length
  const end = Math.min(host.length, PRINTED_CHARS)
  for (let at = 0; at < end; at++) print = Math.imul(print, 31) + host.charCodeAt(at)
  return print ^ (print >>> 6)
}
