/** Binary frames with at most 125 bytes (RFC 6455 §5.2): all that the benchmark sends. */

const BINARY = 0x82
const MASKED = 0x80
const MASK_BYTES = 4

/** As a server sends it. */
export function plainFrame(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.of(BINARY, payload.length), payload])
}

/** As a client sends it; `mask` has 4 bytes. */
export function maskedFrame(payload: Buffer, mask: Buffer): Buffer {
  const frame = Buffer.concat([Buffer.of(BINARY, MASKED | payload.length), mask, payload])
  applyMask(frame.subarray(2 + MASK_BYTES), mask)
  return frame
}

/** The echo, as a server sends it, of the whole frames of a client at the start of `bytes`, and how many bytes those took. */
export function echoFrames(bytes: Buffer): { readonly echo: Buffer; readonly taken: number } {
  const frames: Buffer[] = []
  let at = 0
  while (at + 2 <= bytes.length) {
    const length = (bytes[at + 1] as number) & ~MASKED
    const payloadAt = at + 2 + MASK_BYTES
    if (payloadAt + length > bytes.length) break
    const payload = Buffer.from(bytes.subarray(payloadAt, payloadAt + length))
    applyMask(payload, bytes.subarray(at + 2, payloadAt))
    frames.push(plainFrame(payload))
    at = payloadAt + length
  }
  return { echo: frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames), taken: at }
}

function applyMask(payload: Buffer, mask: Buffer): void {
  for (let at = 0; at < payload.length; at += 1)
    payload[at] = (payload[at] as number) ^ (mask[at % MASK_BYTES] as number)
}
