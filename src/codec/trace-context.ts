/** W3C Trace Context (https://www.w3.org/TR/trace-context/): what a call says of the trace that it is part of. */

/** Version 00 as it is; of later ones what is alike (section 3.2.4: more may follow behind another dash). */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?$/
const NO_TRACE = '0'.repeat(32)
const NO_PARENT = '0'.repeat(16)

/** The trace id in a value of `traceparent`, 32 hexadecimal digits; '' where it is not valid. */
export function traceIdOf(traceparent: string): string {
  if (traceparent === '') return ''
  const [, trace = '', parent] = TRACEPARENT.exec(traceparent) ?? []
  if (trace === NO_TRACE || parent === NO_PARENT) return ''
  return traceparent.startsWith('00') && traceparent.length > 55 ? '' : trace
}
