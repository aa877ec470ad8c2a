/** Heads as the tests see them: what a reader found, or the name of its error. */
import { INCOMPLETE, INVALID } from '../../../src/codec/http1/field-section.ts'
import type { FieldTable } from '../../../src/codec/http1/field-table.ts'
import { RequestHead } from '../../../src/codec/http1/request-head.ts'
import { ResponseHead } from '../../../src/codec/http1/response-head.ts'
import { latin1, type Reader, readAtEverySplit } from './every-split.ts'

export const FRAMINGS = ['none', 'length', 'chunked', 'until-close'] as const

export interface SeenRequest {
  readonly method: string
  readonly target: string
  readonly minor: number
  readonly host: string
  readonly framing: string
  readonly lines: string
}

export function seenRequest(head: RequestHead): SeenRequest {
  const { method, target, minor, host, kind, length, lines } = head
  return { method, target, minor, host, framing: framingText(kind, length), lines }
}

export interface SeenResponse {
  readonly status: number
  readonly reason: string
  readonly framing: string
  readonly declaredLength: number
  readonly close: boolean
  readonly lines: string
}

function seenResponse(head: ResponseHead): SeenResponse {
  const { status, reason, kind, length, declaredLength, lines, connection } = head
  const framing = framingText(kind, length)
  return { status, reason, framing, declaredLength, close: connection.close, lines }
}

function framingText(kind: number, length: number): string {
  return kind === 1 ? `length ${length}` : (FRAMINGS[kind] as string)
}

export function requestReader(head: RequestHead): Reader {
  return {
    read: (bytes, start, end) => head.read(bytes, start, end),
    said: result => (result === INVALID ? head.error : seenRequest(head)),
  }
}

/** Reads `text` at every split. 'incomplete', the name of the error, or what was found. */
export function readRequest(table: FieldTable, text: string): string | SeenRequest {
  const head = new RequestHead(table)
  const { result, said } = readAtEverySplit(requestReader(head), latin1(text))
  return result === INCOMPLETE ? 'incomplete' : (said as string | SeenRequest)
}

/** The same of a response; `bodiless` where the request was HEAD. */
export function readResponse(
  table: FieldTable,
  text: string,
  bodiless = false,
): string | SeenResponse {
  const head = new ResponseHead(table)
  const reader: Reader = {
    read: (bytes, start, end) => head.read(bytes, start, end, bodiless),
    said: result => (result === INVALID ? 'invalid' : seenResponse(head)),
  }
  const { result, said } = readAtEverySplit(reader, latin1(text))
  return result === INCOMPLETE ? 'incomplete' : (said as string | SeenResponse)
}

/** A head of these lines. */
export const lines = (...all: string[]): string => `${all.join('\r\n')}\r\n\r\n`
