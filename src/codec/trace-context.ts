/** W3C Trace Context (https://www.w3.org/TR/trace-context/): what a call says of the trace that it is part of. */

/** Version 00 as it is; of later ones what is alike (section 3.2.4: more may follow behind another dash). */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/
const NO_TRACE = '0'.repeat(32)
const NO_PARENT = '0'.repeat(16)
/** Section 3.2.2.5; that of level 2 says that the trace id is random. */
const SAMPLED = 1
const RANDOM = 2

export interface TraceParent {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** The span that the call is part of: 16 hexadecimal digits. */
  readonly spanId: string
  readonly sampled: boolean
  readonly random: boolean
}

/** Undefined where `traceparent` is not valid: its trace ends here (section 4.3). */
export function parseTraceparent(traceparent: string): TraceParent | undefined {
  const [, traceId, spanId = '', digits = ''] = TRACEPARENT.exec(traceparent) ?? []
  if (traceId === undefined || traceId === NO_TRACE || spanId === NO_PARENT) return undefined
  if (traceparent.startsWith('00') && traceparent.length > 55) return undefined
  const flags = Number.parseInt(digits, 16)
  return { traceId, spanId, sampled: (flags & SAMPLED) !== 0, random: (flags & RANDOM) !== 0 }
}

/** In version 00. */
export function traceparentText({ traceId, spanId, sampled, random }: TraceParent): string {
  const flags = (sampled ? SAMPLED : 0) | (random ? RANDOM : 0)
  return `00-${traceId}-${spanId}-0${flags}`
}

/** The trace id in a value of `traceparent`, 32 hexadecimal digits; '' where it is not valid. */
export function traceIdOf(traceparent: string): string {
  return traceparent === '' ? '' : (parseTraceparent(traceparent)?.traceId ?? '')
}
