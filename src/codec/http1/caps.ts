/** What the codec reads of one message before it gives up. Each cap has an error of its own, see docs/http1.md. */
export interface Http1Caps {
  /** Bytes of a request target: `target_too_long`. */
  readonly targetBytes: number
  /** Bytes of start line and header section together: `head_too_large`. */
  readonly headBytes: number
  /** Field lines of one section: `too_many_fields`; in a trailer section `trailers_too_large`. */
  readonly fields: number
  /** Bytes of a trailer section: `trailers_too_large`. */
  readonly trailerBytes: number
  /** Bytes of all chunk extensions of one body: `chunk_extensions_too_large` (CVE-2023-39326: a cheap flood). */
  readonly chunkExtensionBytes: number
}

/** What an expert proxy takes by default (Envoy's edge profile: 60 KiB, 100 fields; HAProxy: 16 KiB, 101 fields). */
export const DEFAULT_CAPS: Http1Caps = Object.freeze({
  targetBytes: 8 * 1024,
  headBytes: 32 * 1024,
  fields: 100,
  trailerBytes: 8 * 1024,
  chunkExtensionBytes: 4 * 1024,
})
