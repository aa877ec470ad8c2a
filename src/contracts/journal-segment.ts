/**
 * The journal of a worker on disk: a segment is a header and then batches, one after the other. All numbers are little-endian.
 *
 *     segment  "AMTJ", u32 version (2)
 *     batch    u32 length of the entries, u32 CRC-32C of all that follows, f64 sequence, entries
 *     key      u8 1, u32 row, u16 length, JSON { tenant, listener, routability, operation, code }
 *     usage    u8 2, u32 row, u32 window (minutes since the epoch), u32 calls, u32 connections,
 *              f64 ingress, f64 egress, f64 connectionMs, f64 callMs
 *     grpc     u8 3, then as usage, and f64 requestMessages, f64 responseMessages: usage that has any of these
 *
 * Version 1, which is read as well, has no entries of kind grpc.
 *
 * A key stands before the first usage of its row, in each segment anew: a segment can be read without those before it.
 * Sequences count the batches of a journal from 1, without a gap, over all its segments.
 */
import type { z } from 'zod'
import { crc32c } from '../codec/crc32c.ts'
import { type UsageRecord, usageRecordSchema } from './usage-report.ts'

export const SEGMENT_HEADER: Buffer = Buffer.from('AMTJ\x02\0\0\0', 'latin1')
const OLD_SEGMENT_HEADER: Buffer = Buffer.from('AMTJ\x01\0\0\0', 'latin1')
export const BATCH_HEADER_BYTES = 16
export const USAGE_BYTES = 49
const GRPC_BYTES = 65
/** Of the entries of a batch; a turn that has more makes several. */
export const MAX_BATCH_BYTES = 1024 * 1024
/** Of a key, as JSON. */
const MAX_KEY_BYTES = 1_024
const KEY = 1
const USAGE = 2
const GRPC = 3
const WINDOW_MS = 60_000

export type UsageKey = Pick<
  UsageRecord,
  'tenant' | 'listener' | 'routability' | 'operation' | 'code'
>
export type UsageDelta = Omit<UsageRecord, keyof UsageKey>

const keySchema = usageRecordSchema.pick({
  tenant: true,
  listener: true,
  routability: true,
  operation: true,
  code: true,
}) satisfies z.ZodType<UsageKey>

/** Makes batches in memory of its own, which is used again. */
export class BatchWriter {
  #bytes: Buffer
  /** Of the same memory: what it writes is one instruction, and a call to `Buffer` else (60 ns an entry). */
  #view: DataView
  #end = BATCH_HEADER_BYTES

  constructor(capacity: number = 64 * 1024) {
    this.#bytes = Buffer.allocUnsafe(capacity)
    this.#view = viewOf(this.#bytes)
  }

  get empty(): boolean {
    return this.#end === BATCH_HEADER_BYTES
  }

  /** Whether a usage entry, with its key before it, still fits. */
  get full(): boolean {
    return this.#end + GRPC_BYTES + MAX_KEY_BYTES + 7 > MAX_BATCH_BYTES
  }

  key(row: number, key: UsageKey): void {
    const { tenant, listener, routability, operation, code } = key
    const json = JSON.stringify({ tenant, listener, routability, operation, code })
    const length = Buffer.byteLength(json)
    if (length > MAX_KEY_BYTES) throw new RangeError(`a usage key of ${length} bytes`)
    this.#reserve(7 + length)
    const bytes = this.#bytes
    bytes[this.#end] = KEY
    bytes.writeUInt32LE(row, this.#end + 1)
    bytes.writeUInt16LE(length, this.#end + 5)
    bytes.write(json, this.#end + 7)
    this.#end += 7 + length
  }

  usage(row: number, delta: UsageDelta): void {
    const { window, calls, connections, requestMessages, responseMessages } = delta
    // A view would cut off what is too large, and say nothing.
    if (!(isU32(row) && isU32(window / WINDOW_MS) && isU32(calls) && isU32(connections)))
      throw new RangeError(`a usage of ${calls} calls and ${connections} connections at ${window}`)
    const length = requestMessages + responseMessages > 0 ? GRPC_BYTES : USAGE_BYTES
    this.#reserve(length)
    const view = this.#view
    const at = this.#end
    view.setUint8(at, length === GRPC_BYTES ? GRPC : USAGE)
    view.setUint32(at + 1, row, true)
    view.setUint32(at + 5, window / WINDOW_MS, true)
    view.setUint32(at + 9, calls, true)
    view.setUint32(at + 13, connections, true)
    view.setFloat64(at + 17, delta.ingress, true)
    view.setFloat64(at + 25, delta.egress, true)
    view.setFloat64(at + 33, delta.connectionMs, true)
    view.setFloat64(at + 41, delta.callMs, true)
    if (length === GRPC_BYTES) {
      view.setFloat64(at + 49, requestMessages, true)
      view.setFloat64(at + 57, responseMessages, true)
    }
    this.#end += length
  }

  /** The batch, valid until the next entry; the writer is empty then. */
  finish(sequence: number): Buffer {
    const bytes = this.#bytes
    const end = this.#end
    bytes.writeUInt32LE(end - BATCH_HEADER_BYTES, 0)
    bytes.writeDoubleLE(sequence, 8)
    bytes.writeUInt32LE(crc32c(bytes, 8, end), 4)
    this.#end = BATCH_HEADER_BYTES
    return bytes.subarray(0, end)
  }

  #reserve(more: number): void {
    const needed = this.#end + more
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length))
    this.#bytes.copy(larger, 0, 0, this.#end)
    this.#bytes = larger
    this.#view = viewOf(larger)
  }
}

function isU32(value: number): boolean {
  return value >= 0 && value <= 0xffff_ffff
}

function viewOf({ buffer, byteOffset, byteLength }: Buffer): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}

/** What stands at a position of a segment. */
export type BatchFound =
  | {
      readonly kind: 'batch'
      readonly sequence: number
      readonly records: readonly UsageRecord[]
      /** The row of each record: in one segment usually the same key. */
      readonly rows: readonly number[]
      /** Position behind it. */
      readonly end: number
    }
  /** The rest is not there, or not yet. */
  | { readonly kind: 'incomplete' }
  /** It cannot be what was written. */
  | { readonly kind: 'corrupt'; readonly why: string }

/** Reads the batches of one segment, in their order; it remembers the keys. */
export class SegmentReader {
  readonly #keys: Map<number, UsageKey>
  /** Of all the memory that what was read last is a part of: it is nearly always the same. */
  #view: DataView = new DataView(new ArrayBuffer(0))

  constructor(keys: ReadonlyMap<number, UsageKey> = new Map()) {
    this.#keys = new Map(keys)
  }

  /** Another one that has read as far as this one. */
  fork(): SegmentReader {
    return new SegmentReader(this.#keys)
  }

  /** The header at the beginning: whether it is one, or undefined where more is needed. */
  static checkHeader(bytes: Uint8Array): boolean | undefined {
    if (bytes.length < SEGMENT_HEADER.length) return undefined
    const header = bytes.subarray(0, SEGMENT_HEADER.length)
    return SEGMENT_HEADER.equals(header) || OLD_SEGMENT_HEADER.equals(header)
  }

  /** The batch at `at` of what has been read of the segment. */
  read(bytes: Buffer, at: number): BatchFound {
    if (at + BATCH_HEADER_BYTES > bytes.length) return { kind: 'incomplete' }
    if (this.#view.buffer !== bytes.buffer) this.#view = new DataView(bytes.buffer)
    const view = this.#view
    const base = bytes.byteOffset + at
    const length = view.getUint32(base, true)
    if (length > MAX_BATCH_BYTES) return corrupt(`a batch of ${length} bytes`)
    const end = at + BATCH_HEADER_BYTES + length
    if (end > bytes.length) return { kind: 'incomplete' }
    if (crc32c(bytes, at + 8, end) !== view.getUint32(base + 4, true))
      return corrupt('the checksum differs')
    const sequence = view.getFloat64(base + 8, true)
    if (!Number.isSafeInteger(sequence) || sequence < 1) return corrupt('the sequence is none')
    const records: UsageRecord[] = []
    const rows: number[] = []
    const why = this.#entries(bytes, at + BATCH_HEADER_BYTES, { end, records, rows })
    return why === undefined ? { kind: 'batch', sequence, records, rows, end } : corrupt(why)
  }

  /** Answers what is wrong with them. */
  #entries(bytes: Buffer, start: number, { end, records, rows }: Entries): string | undefined {
    const view = this.#view
    const { byteOffset } = bytes
    for (let at = start; at < end; ) {
      const kind = bytes[at]
      if (kind === KEY && at + 7 <= end) {
        const next = at + 7 + view.getUint16(byteOffset + at + 5, true)
        const key = next <= end ? keyOf(bytes.toString('utf8', at + 7, next)) : undefined
        if (key === undefined) return 'a key cannot be read'
        this.#keys.set(view.getUint32(byteOffset + at + 1, true), key)
        at = next
      } else if (at + usageLength(kind) <= end) {
        const row = view.getUint32(byteOffset + at + 1, true)
        const key = this.#keys.get(row)
        if (key === undefined) return 'usage of a row without a key'
        records.push(recordOf(key, view, byteOffset + at))
        rows.push(row)
        at += usageLength(kind)
      } else return `an entry of kind ${kind}`
    }
    return undefined
  }
}

interface Entries {
  /** Where they end. */
  readonly end: number
  readonly records: UsageRecord[]
  readonly rows: number[]
}

/** A segment of one batch, which says by itself whose usage it is. */
export function segmentOf(sequence: number, records: readonly UsageRecord[]): Buffer {
  const writer = new BatchWriter()
  for (const [row, record] of records.entries()) {
    writer.key(row, record)
    writer.usage(row, record)
  }
  return Buffer.concat([SEGMENT_HEADER, writer.finish(sequence)])
}

/** Of an entry; without end where it is none of usage. */
function usageLength(kind: number | undefined): number {
  if (kind === USAGE) return USAGE_BYTES
  return kind === GRPC ? GRPC_BYTES : Number.POSITIVE_INFINITY
}

/** Field by field, which takes a fifth of the time of a spread. */
function recordOf(key: UsageKey, view: DataView, at: number): UsageRecord {
  const grpc = view.getUint8(at) === GRPC
  return {
    tenant: key.tenant,
    listener: key.listener,
    routability: key.routability,
    operation: key.operation,
    code: key.code,
    window: view.getUint32(at + 5, true) * WINDOW_MS,
    calls: view.getUint32(at + 9, true),
    connections: view.getUint32(at + 13, true),
    ingress: view.getFloat64(at + 17, true),
    egress: view.getFloat64(at + 25, true),
    connectionMs: view.getFloat64(at + 33, true),
    callMs: view.getFloat64(at + 41, true),
    requestMessages: grpc ? view.getFloat64(at + 49, true) : 0,
    responseMessages: grpc ? view.getFloat64(at + 57, true) : 0,
  }
}

function keyOf(json: string): UsageKey | undefined {
  try {
    const parsed = keySchema.safeParse(JSON.parse(json))
    return parsed.success ? parsed.data : undefined
  } catch {
    return undefined
  }
}

function corrupt(why: string): BatchFound {
  return { kind: 'corrupt', why }
}
