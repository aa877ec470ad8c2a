/** How long what is open has to end once it has been asked to, by what it is. */
import type { Config } from '../../config/schema.ts'
import type { Drainable } from './arrival.ts'

export interface DrainTime {
  readonly kind: Drainable['kind']
  /** From the beginning. */
  readonly ms: number
}

/** The shortest first. */
export function drainTimes({ timeouts, drain }: Pick<Config, 'timeouts' | 'drain'>): DrainTime[] {
  const { drain: calls } = timeouts
  const times: DrainTime[] = [
    { kind: 'opening', ms: Math.min(drain.idle, calls) },
    { kind: 'calls', ms: calls },
    { kind: 'tunnel', ms: drain.tunnels ?? calls },
  ]
  return times.toSorted((one, other) => one.ms - other.ms)
}
