/**
 * How long a deployment keeps a connection that rests, where its answers say so (`Keep-Alive: timeout=5`, RFC 2068 §19.7.1.1;
 * servers of Node and Apache do). Whoever sends a call when that time is over meets the end of the connection half way, and
 * only some calls may be sent again.
 */

/** What a call needs to get there, and a busy deployment to see it. */
const MARGIN_MS = 1_000
const TIMEOUT = /(?:^|[,;\s])timeout\s*=\s*"?(\d{1,9})(?!\d)/i

/** ms for which a connection may rest, by the value of the field: a second less than it says, or half of it. */
export function announcedRest(value: string): number {
  const seconds = TIMEOUT.exec(value)?.[1]
  if (seconds === undefined) return Number.POSITIVE_INFINITY
  const ms = Number(seconds) * 1_000
  return Math.max(ms - MARGIN_MS, ms / 2)
}

/** The same for one endpoint, which always says the same. */
export class AnnouncedRest {
  #value = ''
  #ms = Number.POSITIVE_INFINITY

  /** '' where there is no such field. */
  of(value: string): number {
    if (value !== this.#value) {
      this.#value = value
      this.#ms = announcedRest(value)
    }
    return this.#ms
  }
}
