/** Reads a JSON body under caps on what is received and on what it inflates to. */
import type { IncomingMessage } from 'node:http'
import { createGunzip } from 'node:zlib'
import { MAX_REPORT_BYTES } from '../../contracts/usage-report.ts'
import type { ErrorCode } from '../../core/errors.ts'

/** A report is the largest body there is. It holds for the bytes on the wire and again for the inflated ones. */
export const MAX_BODY_BYTES: number = MAX_REPORT_BYTES

export type Body =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly code: ErrorCode; readonly detail: string }

/** Of at most `maxBytes`; what belongs to no proxy gets less room than MAX_BODY_BYTES. */
export async function readJson(
  request: IncomingMessage,
  maxBytes: number = MAX_BODY_BYTES,
): Promise<Body> {
  const type = request.headers['content-type'] ?? ''
  if (!/^application\/json *(; *charset="?utf-8"? *)?$/i.test(type))
    return refused('unsupported_media_type')
  const coding = request.headers['content-encoding']?.toLowerCase() ?? 'identity'
  const gzip = coding === 'gzip' || coding === 'x-gzip'
  if (!gzip && coding !== 'identity') return refused('unsupported_media_type')

  const received = await receive(request, maxBytes)
  if (typeof received === 'string') return refused(received, maxBytes)
  const bytes = gzip ? await inflate(received, maxBytes) : received
  return typeof bytes === 'string' ? refused(bytes, maxBytes) : parse(bytes)
}

const DETAILS = {
  unsupported_media_type:
    'content-type must be application/json, content-encoding gzip or identity',
  payload_too_large: 'too many bytes, also after inflating',
  client_closed: 'the body ended early',
  malformed_message: 'the body is not valid gzip',
} as const satisfies Partial<Record<ErrorCode, string>>

function refused(code: keyof typeof DETAILS, maxBytes: number = MAX_BODY_BYTES): Body {
  const detail =
    code === 'payload_too_large' ? `at most ${maxBytes} bytes, also after inflating` : DETAILS[code]
  return { ok: false, code, detail }
}

/**
 * Settles as soon as the answer is clear, also in the middle of the body. It never destroys the request: the refusal
 * still has to go out on the same socket.
 */
function receive(
  request: IncomingMessage,
  maxBytes: number,
): Promise<Buffer | 'payload_too_large' | 'client_closed'> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes)
    return Promise.resolve('payload_too_large')
  return new Promise(resolve => {
    const chunks: Buffer[] = []
    let bytes = 0
    const take = (chunk: Buffer): void => {
      bytes += chunk.length
      if (bytes <= maxBytes) {
        chunks.push(chunk)
        return
      }
      request.off('data', take)
      resolve('payload_too_large')
    }
    request.on('data', take)
    request.once('end', () => resolve(Buffer.concat(chunks)))
    request.once('close', () => resolve('client_closed'))
  })
}

async function inflate(
  compressed: Buffer,
  maxBytes: number,
): Promise<Buffer | 'payload_too_large' | 'malformed_message'> {
  const gunzip = createGunzip()
  gunzip.end(compressed)
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > maxBytes) return 'payload_too_large'
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  } catch {
    return 'malformed_message'
  }
}

/** Bytes that are no UTF-8 are refused: replaced by U+FFFD they would become another name in the ledger. */
function parse(bytes: Buffer): Body {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return { ok: true, value }
  } catch {
    return { ok: false, code: 'malformed_message', detail: 'the body is not valid JSON in UTF-8' }
  }
}
