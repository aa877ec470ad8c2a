/** Ids of items: the same usage has the same id for ever, whoever computes it and whenever. */
import { createHash } from 'node:crypto'

/** Ours, made once at random; part of every id, so never changed. */
export const ITEM_NAMESPACE = '7b0d2c54-4f0e-4a5c-9d55-2c1f6a7f3e91'

export interface ItemName {
  readonly source: string
  readonly tenant: string
  readonly metric: string
  /** Empty where the export is not by operation. */
  readonly operation: string
  /** Start, in milliseconds since the epoch. */
  readonly window: number
  readonly windowMs: number
  /** 1 for the first amount of a window; each correction has the next one. */
  readonly revision: bigint
}

/** A JSON array is unambiguous: no part can run into the next. */
export function itemId(item: ItemName): string {
  const { source, tenant, metric, operation, window, windowMs, revision } = item
  const start = new Date(window).toISOString()
  const name = [source, tenant, metric, operation, start, windowMs, Number(revision)]
  return uuidV5(ITEM_NAMESPACE, JSON.stringify(name))
}

/** RFC 9562 §5.5: the SHA-1 of a namespace and a name, as a UUID. */
export function uuidV5(namespace: string, name: string): string {
  const hash = createHash('sha1')
  hash.update(Buffer.from(namespace.replaceAll('-', ''), 'hex')).update(name, 'utf8')
  const bytes = hash.digest().subarray(0, 16)
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  const hex = bytes.toString('hex')
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-')
}
