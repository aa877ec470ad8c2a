/** Priorities (RFC 9218): how urgent a response is, and whether parts of it are of use before the rest. */

export const DEFAULT_URGENCY = 3
const LEAST_URGENT = 7
const MAX_CHARS = 256

export interface Priority {
  /** 0 to 7; the smaller, the sooner. */
  readonly urgency: number
  readonly incremental: boolean
}

/**
 * The order of what waits to be written (RFC 9218 §10): the most urgent first; of these, what is of use only as a whole, as
 * it began; then all others in turn, so that none stops another. For `toSorted` over the streams of one session.
 */
export function byPriority(a: Prioritized, b: Prioritized): number {
  if (a.urgency !== b.urgency) return a.urgency - b.urgency
  if (a.incremental !== b.incremental) return a.incremental ? 1 : -1
  return (a.incremental ? a.turn - b.turn : 0) || a.id - b.id
}

interface Prioritized {
  readonly id: number
  readonly urgency: number
  readonly incremental: boolean
  /** The larger, the later it has written. */
  readonly turn: number
}

const DEFAULT: Priority = Object.freeze({ urgency: DEFAULT_URGENCY, incremental: false })

/**
 * The value of a `priority` field or of PRIORITY_UPDATE: a dictionary (RFC 9651 §3.2) of which only `u` and `i` mean
 * something. What is not understood is as if it were not there (§4); the last of several counts.
 */
export function parsePriority(value: string): Priority {
  if (value.length > MAX_CHARS) return DEFAULT
  let { urgency, incremental } = DEFAULT
  for (const member of value.split(',')) {
    const [, key, given] =
      /^[ \t]*([a-z*][a-z0-9_.*-]*)(?:=([^;]*))?(?:;.*)?[ \t]*$/.exec(member) ?? []
    const said = given?.trim()
    if (key === 'u' && said !== undefined && /^[0-9]$/.test(said) && Number(said) <= LEAST_URGENT)
      urgency = Number(said)
    if (key === 'i' && (said === undefined || said === '?1' || said === '?0'))
      incremental = said !== '?0'
  }
  return { urgency, incremental }
}
