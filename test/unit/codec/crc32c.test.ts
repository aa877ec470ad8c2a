import { randomBytes } from 'node:crypto'
import { test } from 'tap'
import { crc32c } from '../../../src/codec/crc32c.ts'

await test('checks as RFC 3720 does', async t => {
  // Appendix B.4: 32 bytes of zeros, of ones, ascending; and the check value of the polynomial.
  const ascending = Uint8Array.from({ length: 32 }, (_, at) => at)
  t.equal(crc32c(new Uint8Array(32), 0, 32), 0x8a_91_36_aa)
  t.equal(crc32c(new Uint8Array(32).fill(0xff), 0, 32), 0x62_a8_ab_43)
  t.equal(crc32c(ascending, 0, 32), 0x46_dd_79_4e)
  t.equal(crc32c(Buffer.from('x123456789x'), 1, 10), 0xe3_06_92_83)
  t.equal(crc32c(ascending, 7, 7), 0, 'of nothing')
})

await test('says of any piece what the division says, a bit at a time', async t => {
  const bytes = randomBytes(80)
  for (let start = 0; start < 20; start++)
    for (let end = start; end <= bytes.length; end++)
      if (crc32c(bytes, start, end) !== crcByBits(bytes.subarray(start, end)))
        t.fail(`${start} to ${end} of ${bytes.toString('hex')}`)
})

/** The definition: the remainder of a division of polynomials, the lowest bit first. */
function crcByBits(bytes: Uint8Array): number {
  let value = -1
  for (const byte of bytes) {
    value ^= byte
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0x82_f6_3b_78 : 0)
  }
  return ~value >>> 0
}
