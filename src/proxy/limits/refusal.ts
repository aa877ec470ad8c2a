/** Why a limit of a tenant refuses something, and what the client is told of it. */
import type { ErrorCode } from '../../core/errors.ts'
import type { RateFields } from './rate-fields.ts'

export interface Refusal {
  readonly code: ErrorCode
  /** As metrics name it: a key of `limits`, or `quota`. */
  readonly limit: string
  /** Until it would fit; 0 where nobody can tell. */
  readonly retryAfterMs: number
  /** When a quota begins anew, in milliseconds since the epoch. */
  readonly resetAt?: number | undefined
  /** Of the rate or quota that refused. */
  readonly rate?: RateFields | undefined
}

/** Of what is there only so many times; nobody can tell when there is room again. */
export function limitOf(code: Refusal['code'], limit: string): Refusal {
  return { code, limit, retryAfterMs: 0 }
}
