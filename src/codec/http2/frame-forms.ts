/** What a frame of each type must look like by its header (RFC 9113 §6). */
import {
  ACK,
  CONTINUATION,
  DATA,
  FRAME_SIZE_ERROR,
  GOAWAY,
  HEADERS,
  PADDED,
  PING,
  PRIORITY,
  PRIORITY_UPDATE,
  PROTOCOL_ERROR,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
  WITH_PRIORITY,
} from './frame.ts'

export function isKnown(type: number): boolean {
  return FORMS[type] !== undefined
}

/** What is wrong with a frame by its header alone: 0 for nothing, below 0 where it is a fault of the stream only. */
export function faultOf(type: number, flags: number, streamId: number, length: number): number {
  const form = FORMS[type]
  if (form === undefined) return 0
  if ((streamId === 0) !== form.connection && type !== WINDOW_UPDATE) return PROTOCOL_ERROR
  if (type === SETTINGS && (flags & ACK) !== 0) return length === 0 ? 0 : FRAME_SIZE_ERROR
  const least = form.least + (form.padded && (flags & PADDED) !== 0 ? 1 : 0)
  const fits = form.exact ? length === least : length >= least + priorityOctets(type, flags)
  if (!fits) return type === PRIORITY ? -FRAME_SIZE_ERROR : FRAME_SIZE_ERROR
  return type === SETTINGS && length % 6 !== 0 ? FRAME_SIZE_ERROR : 0
}

function priorityOctets(type: number, flags: number): number {
  return type === HEADERS && (flags & WITH_PRIORITY) !== 0 ? 5 : 0
}

interface Form {
  /** Whether it is about the connection and not about a stream; WINDOW_UPDATE is about either. */
  readonly connection: boolean
  /** Octets of its payload. */
  readonly least: number
  readonly exact: boolean
  readonly padded: boolean
}

const STREAM_FORM: Form = { connection: false, least: 0, exact: false, padded: false }
const CONNECTION_FORM: Form = { connection: true, least: 0, exact: false, padded: false }

/** By type; there is none for types that we do not know. */
const FORMS: readonly (Form | undefined)[] = formsByType([
  [DATA, { ...STREAM_FORM, padded: true }],
  [HEADERS, { ...STREAM_FORM, padded: true }],
  [PRIORITY, { ...STREAM_FORM, least: 5, exact: true }],
  [RST_STREAM, { ...STREAM_FORM, least: 4, exact: true }],
  [SETTINGS, CONNECTION_FORM],
  [PUSH_PROMISE, { ...STREAM_FORM, least: 4, padded: true }],
  [PING, { ...CONNECTION_FORM, least: 8, exact: true }],
  [GOAWAY, { ...CONNECTION_FORM, least: 8 }],
  [WINDOW_UPDATE, { ...STREAM_FORM, least: 4, exact: true }],
  [CONTINUATION, STREAM_FORM],
  [PRIORITY_UPDATE, { ...CONNECTION_FORM, least: 4 }],
])

function formsByType(forms: readonly (readonly [number, Form])[]): readonly (Form | undefined)[] {
  const byType = new Map(forms)
  return Array.from({ length: PRIORITY_UPDATE + 1 }, (_, type) => byType.get(type))
}
