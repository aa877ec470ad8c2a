/** Where a strict reader and somebody else have both read a message, they must have read the same one. */
import { DEFAULT_CAPS } from '../../../src/codec/http1/caps.ts'
import {
  readStrictAnswer,
  readStrictRequest,
  type StrictAnswer,
  type StrictRequest,
} from '../strict-http1.ts'

/** What a strict reader makes of bytes, message by message; `rule` is what ended it, '' where nothing did. */
export interface StrictSequence<Message> {
  readonly messages: readonly (Message & { readonly end: number })[]
  readonly rule: string
}

/** Empty lines before a request are nothing (RFC 9112 section 2.2). */
export function strictRequests(bytes: Buffer): StrictSequence<StrictRequest> {
  const messages: (StrictRequest & { end: number })[] = []
  let at = 0
  for (;;) {
    while (bytes[at] === 0x0d && bytes[at + 1] === 0x0a) at += 2
    if (at >= bytes.length) return { messages, rule: '' }
    const result = readStrictRequest(bytes.subarray(at))
    if (result.kind === 'incomplete') return { messages, rule: '' }
    if (result.kind === 'violation') return { messages, rule: result.rule }
    at += result.length
    messages.push({ ...result.message, end: at })
  }
}

/** Interim answers and the final one to a request with `method`. */
export function strictAnswers(
  bytes: Buffer,
  method: string,
  closed: boolean,
): StrictSequence<StrictAnswer> {
  const messages: (StrictAnswer & { end: number })[] = []
  let at = 0
  for (;;) {
    const result = readStrictAnswer(bytes.subarray(at), { method, closed })
    if (result.kind === 'incomplete') return { messages, rule: '' }
    if (result.kind === 'violation') return { messages, rule: result.rule }
    at += result.length
    messages.push({ ...result.message, end: at })
    if (result.message.status >= 200 || result.message.status === 101) return { messages, rule: '' }
  }
}

/**
 * Rules for what is sent that are none for what is received, as nobody gets to see it: extensions end in the codec,
 * whatever is in them, and so do trailers of these names; HTTP/1.0 has no Host, and gets one.
 */
const TOLERATED =
  /^chunk line "[0-9a-fA-F]+;|^no (content-length|transfer-encoding|host) in trailers|^one valid Host, not ""$/

export function isTolerated(rule: string): boolean {
  return TOLERATED.test(rule)
}

/** RFC 9112 section 7.1.1 lets blanks stand behind a chunk size, before an extension; the codec does not. */
const BLANK_BEHIND_SIZE = /\r\n[0-9a-fA-F]+[ \t]+;/

const LAST_CHUNK = /\r\n0+[ \t]*(?:;[^\r\n]*)?\r\n/

/** Whether the codec may refuse `bytes` where a strict reader does not, which has no caps: trailers may be too many for it, or too long. */
export function mayBeRefused(bytes: Buffer): boolean {
  const text = bytes.toString('latin1')
  const { fields, trailerBytes } = DEFAULT_CAPS
  const trailers = text.split(LAST_CHUNK).slice(1).join('')
  return (
    BLANK_BEHIND_SIZE.test(text) ||
    trailers.split('\r\n').length > fields ||
    trailers.length > trailerBytes
  )
}
