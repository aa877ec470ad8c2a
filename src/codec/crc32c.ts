/** CRC-32C (Castagnoli, RFC 3720 appendix B.4), the check of each journal batch and of PROXY headers. */

const POLYNOMIAL = 0x82_f6_3b_78
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1
  return value >>> 0
})

/** Of `bytes[start, end)`, from 0 to 2^32 - 1. */
export function crc32c(bytes: Uint8Array, start: number, end: number): number {
  let value = -1
  for (let at = start; at < end; at++)
    value = (TABLE[(value ^ (bytes[at] as number)) & 0xff] as number) ^ (value >>> 8)
  return ~value >>> 0
}
