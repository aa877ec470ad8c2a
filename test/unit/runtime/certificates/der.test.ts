import { Buffer } from 'node:buffer'
import { test } from 'tap'
import { addressBytes } from '../../../../src/runtime/certificates/address-bytes.ts'
import {
  bitString,
  integer,
  objectId,
  octetString,
  readDer,
  sequence,
  time,
} from '../../../../src/runtime/certificates/der.ts'

const hex = (bytes: Buffer): string => bytes.toString('hex')

await test('numbers take as few bytes as they can and stay positive', async t => {
  const cases: [number, string][] = [
    [0, '020100'],
    [1, '020101'],
    [127, '02017f'],
    [128, '02020080'],
    [255, '020200ff'],
    [256, '02020100'],
    [10_000, '02022710'],
    [0x7fffffff, '02047fffffff'],
  ]
  for (const [value, wanted] of cases) t.equal(hex(integer(value)), wanted, String(value))
})

await test('object identifiers are base 128', async t => {
  t.equal(hex(objectId('1.2.840.10045.4.3.2')), '06082a8648ce3d040302')
  t.equal(hex(objectId('2.5.29.17')), '0603551d11')
  t.equal(hex(objectId('1.2.840.113549.1.7.1')), '06092a864886f70d010701')
})

await test('lengths have one, two and three bytes', async t => {
  t.equal(hex(octetString(Buffer.alloc(127)).subarray(0, 2)), '047f')
  t.equal(hex(octetString(Buffer.alloc(128)).subarray(0, 3)), '048180')
  t.equal(hex(octetString(Buffer.alloc(256)).subarray(0, 4)), '04820100')
  t.throws(
    () => octetString(Buffer.alloc(65_536)),
    RangeError,
    'no element is written with a wrong length',
  )
})

await test('times change their form in 2050', async t => {
  t.equal(hex(time(new Date('2049-12-31T23:59:59Z'))), `170d${hex(Buffer.from('491231235959Z'))}`)
  t.equal(hex(time(new Date('2050-01-01T00:00:00Z'))), `180f${hex(Buffer.from('20500101000000Z'))}`)
})

await test('what was written is read back', async t => {
  for (const size of [0, 127, 128, 255, 256, 60_000]) {
    const inner = octetString(Buffer.alloc(size, 7))
    const [outer] = readDer(sequence(inner, bitString(Buffer.of(0x80), 7)))
    const [first, second, none] = readDer(outer?.content ?? Buffer.alloc(0))
    t.ok(first?.raw.equals(inner), `${size} bytes`)
    t.equal(first?.content.length, size)
    t.same([second?.tag, hex(second?.content ?? Buffer.alloc(0))], [3, '0780'])
    t.equal(none, undefined)
  }
})

await test('an element that is cut off is refused', async t => {
  const whole = sequence(octetString(Buffer.alloc(300)))
  for (const end of [1, 2, 3, 4, whole.length - 1]) {
    t.throws(() => readDer(whole.subarray(0, end)), RangeError, `${end} bytes`)
  }
})

await test('addresses become their 4 or 16 bytes', async t => {
  const cases: [string, string][] = [
    ['127.0.0.1', '7f000001'],
    ['::', '0'.repeat(32)],
    ['::1', `${'0'.repeat(31)}1`],
    ['2001:db8::7:1', '20010db8000000000000000000070001'],
    ['fe80::', `fe80${'0'.repeat(28)}`],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['::ffff:10.1.2.3', '00000000000000000000ffff0a010203'],
  ]
  for (const [address, wanted] of cases) t.equal(hex(addressBytes(address)), wanted, address)
})
