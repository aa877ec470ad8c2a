/** How HTTP/2 is spoken, for the whole service, with clients and with deployments. */
import { z } from 'zod'
import { DEFAULT_SESSION, type SessionOptions } from '../codec/http2/session-options.ts'
import type { http1 } from './http1-schema.ts'
import { duration, offOr, sizeBetween, sizeText } from './quantities.ts'

const KIB = 1024
const MIB = 1024 * KIB
const SECOND = 1_000
const HOUR = 60 * 60 * SECOND

/** Off, which is 0, or a time that is neither a load by itself nor never. */
const offOrFrom = (atLeast: number, atMost: number, message: string) =>
  offOr(duration()).refine(ms => ms === 0 || (ms >= atLeast && ms <= atMost), { message })

const MAX_STREAMS = 'must be a number from 1 to 10000'
const MAX_CONNECTION_STREAMS = 'must be off or a number from 100 to 1000000000'

export const http2 = z.strictObject({
  maxStreams: z
    .number({ error: MAX_STREAMS })
    .int(MAX_STREAMS)
    .min(1, MAX_STREAMS)
    .max(10_000, MAX_STREAMS)
    .default(DEFAULT_SESSION.streams)
    .describe(
      'Most streams of a client’s connection at once; those beyond are reset, and may come again.',
    ),
  streamWindow: sizeBetween(16 * KIB, 16 * MIB)
    .prefault(sizeText(DEFAULT_SESSION.streamWindow))
    .describe('How much of a body may be under way to the proxy, or wait in it, on one stream.'),
  connectionWindow: sizeBetween(64 * KIB, 64 * MIB)
    .prefault(sizeText(DEFAULT_SESSION.sessionWindow))
    .describe(
      'How much may be under way on all streams of a connection together; at least `streamWindow`.',
    ),
  maxHeaderList: sizeBetween(4 * KIB, 256 * KIB)
    .prefault(sizeText(DEFAULT_SESSION.headers.listSize))
    .describe(
      'Largest header section, as RFC 9113 counts it: name, value and 32 bytes a field; beyond it 431 `head_too_large`. How many fields is `http1.maxFields`.',
    ),
  pingInterval: offOrFrom(SECOND, HOUR, 'must be off or from 1s to 1h')
    .prefault('30s')
    .describe(
      'A connection on which nothing arrives for so long is asked by PING whether it is there; or off.',
    ),
  pingTimeout: duration()
    .refine(ms => ms >= SECOND && ms <= 5 * 60 * SECOND, { message: 'must be from 1s to 5m' })
    .prefault('10s')
    .describe('A connection that does not answer a PING for so long is closed.'),
  maxConnectionAge: offOrFrom(SECOND, 24 * 30 * HOUR, 'must be off or from 1s to 30d')
    .default(0)
    .describe(
      'A connection that is so old, give or take a tenth, gets no more calls, and its calls go on to their end: a client is told to come again (GOAWAY). Off by default.',
    ),
  maxConnectionStreams: z
    .union(
      [
        z.literal('off').transform(() => 0),
        z
          .number()
          .int(MAX_CONNECTION_STREAMS)
          .min(100, MAX_CONNECTION_STREAMS)
          .max(1_000_000_000, MAX_CONNECTION_STREAMS),
      ],
      { error: MAX_CONNECTION_STREAMS },
    )
    .default(0)
    .describe('The same of a connection that has carried so many calls. Off by default.'),
})

/** What `http1` and `http2` say of it. */
interface Http2Settings {
  readonly http1: z.output<typeof http1>
  readonly http2: z.output<typeof http2>
}

/** What the codec keeps to: as a server of clients, and as a client of deployments. */
export interface Http2Sessions {
  readonly downstream: SessionOptions
  readonly upstream: SessionOptions
}

/** Whoever goes a little beyond the list is answered with 431; a block beyond this ends the connection. */
const BLOCK_OF_LIST = 2

/** Made once for all connections. */
export function sessionOptionsOf(config: Http2Settings): Http2Sessions {
  const { frames, headers } = DEFAULT_SESSION
  const { maxStreams, maxHeaderList, streamWindow, connectionWindow } = config.http2
  const blockSize = BLOCK_OF_LIST * maxHeaderList
  const common: SessionOptions = {
    ...DEFAULT_SESSION,
    frames: {
      ...frames,
      blockSize,
      // As many as a block of that size takes, and no fewer than by default.
      continuations: Math.max(frames.continuations, Math.ceil(blockSize / frames.frameSize)),
    },
    headers: { ...headers, listSize: maxHeaderList, fields: config.http1.maxFields },
    streams: maxStreams,
    streamWindow,
    sessionWindow: connectionWindow,
  }
  return Object.freeze({
    downstream: Object.freeze(common),
    // A deployment begins no streams: nothing can be pushed here.
    upstream: Object.freeze({ ...common, streams: 0 }),
  })
}
