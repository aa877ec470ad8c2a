/** How HTTP/1.1 is read, for the whole service. The defaults are those of the codec. */
import { z } from 'zod'
import { DEFAULT_CAPS, type Http1Caps } from '../codec/http1/caps.ts'
import { sizeBetween, sizeText } from './quantities.ts'

const KIB = 1024

export const http1 = z.strictObject({
  maxTarget: sizeBetween(1 * KIB, 64 * KIB)
    .prefault(sizeText(DEFAULT_CAPS.targetBytes))
    .describe('Longest request target; beyond it 414 `target_too_long`.'),
  maxHead: sizeBetween(4 * KIB, 256 * KIB)
    .prefault(sizeText(DEFAULT_CAPS.headBytes))
    .describe('Largest head, with its first line; beyond it 431 `head_too_large`.'),
  maxFields: z
    .number()
    .int()
    .min(10)
    .max(1_000)
    .default(DEFAULT_CAPS.fields)
    .describe('Most lines of a header section; beyond it 431 `too_many_fields`.'),
  maxTrailers: sizeBetween(1 * KIB, 64 * KIB)
    .prefault(sizeText(DEFAULT_CAPS.trailerBytes))
    .describe('Largest trailer section; beyond it 431 `trailers_too_large`.'),
  maxChunkExtensions: sizeBetween(1 * KIB, 64 * KIB)
    .prefault(sizeText(DEFAULT_CAPS.chunkExtensionBytes))
    .describe('Most chunk extensions of one body; beyond it 413 `chunk_extensions_too_large`.'),
  maxPipelined: z
    .number()
    .int()
    .min(1)
    .max(10_000)
    .default(128)
    .describe('Most calls that wait behind a running one; beyond it 429 `too_many_pipelined`.'),
  path: z
    .enum(['as-is', 'normalize', 'reject'])
    .default('as-is')
    .describe(
      '`as-is`: never looked at. `normalize`: forwarded in normal form. `reject`: only the normal form passes. What has none is 400 `unsafe_path`.',
    ),
})

/** The part of it that the codec keeps to. */
export function capsOf(config: z.output<typeof http1>): Http1Caps {
  return Object.freeze({
    targetBytes: config.maxTarget,
    headBytes: config.maxHead,
    fields: config.maxFields,
    trailerBytes: config.maxTrailers,
    chunkExtensionBytes: config.maxChunkExtensions,
  })
}
