import { test } from 'tap'
import { parseProxyHeader } from '../../../src/codec/proxy-protocol.ts'
import { MAX_PROXY_TLVS, readProxyFacts } from '../../../src/codec/proxy-tlv.ts'
import { proxyV2, tlv } from '../../support/proxy-header.ts'

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const TLS_1_3 = tlv(0x21, 'TLSv1.3')

await test('each TLV that is registered is read', async t => {
  const ssl = Buffer.concat([hex('0500000000'), TLS_1_3, tlv(0x22, 'ä client'), tlv(0x23, 'AES')])
  const header = parseProxyHeader(
    proxyV2({
      tlvs: [
        tlv(0x01, 'h2'),
        tlv(0x02, 'acme.example'),
        tlv(0x05, 'an id'),
        tlv(0x20, ssl),
        tlv(0x30, 'blue'),
        tlv(0xe7, 'nobody knows this one'),
        tlv(0x04, 'pad'),
        tlv(0xea, '\x01vpce-0123456789abcdef0'),
      ],
    }),
  )
  t.match(header, {
    header: {
      facts: {
        alpn: 'h2',
        authority: 'acme.example',
        uniqueId: Buffer.from('an id'),
        ssl: {
          tls: true,
          verified: true,
          version: 'TLSv1.3',
          commonName: 'ä client',
          cipher: 'AES',
        },
        netns: 'blue',
        privateLink: 'aws:vpce-0123456789abcdef0',
      },
    },
  })
})

await test('the private-link ids of AWS, Azure and GCP', async t => {
  const cases: readonly (readonly [string, Buffer])[] = [
    ['aws:vpce-08d2bf15fac5001c9', tlv(0xea, '\x01vpce-08d2bf15fac5001c9')],
    // Little endian, the other way round than everything else in the header.
    ['azure:1234567', tlv(0xee, hex('0187d61200'))],
    ['azure:4294967295', tlv(0xee, hex('01ffffffff'))],
    ['gcp:18446744072646845442', tlv(0xe0, hex('ffffffffc0a86402'))],
    // Beyond what a number can keep.
    ['gcp:12345678901234567', tlv(0xe0, hex('002bdc545d6b4b87'))],
  ]
  for (const [id, bytes] of cases)
    t.match(parseProxyHeader(proxyV2({ tlvs: [bytes] })), {
      header: { facts: { privateLink: id } },
    })
  const other = [tlv(0xea, '\x02other'), tlv(0xee, '\x02other')]
  t.match(parseProxyHeader(proxyV2({ tlvs: other })), { header: { facts: {} } }, 'other subtypes')
})

const MALFORMED: Record<string, readonly Buffer[]> = {
  'an authority that is no UTF-8': [tlv(0x02, hex('ff'))],
  'an authority with a line end': [tlv(0x02, 'a\r\nx: y')],
  'an authority of 256 bytes': [tlv(0x02, 'a'.repeat(256))],
  'two authorities': [tlv(0x02, 'a'), tlv(0x02, 'a')],
  'a unique id of 129 bytes': [tlv(0x05, 'a'.repeat(129))],
  'two unique ids': [tlv(0x05, 'a'), tlv(0x05, 'b')],
  'ssl of four bytes': [tlv(0x20, hex('01000000'))],
  'ssl with half a TLV in it': [tlv(0x20, hex('01000000002100'))],
  'ssl with a TLV longer than itself': [tlv(0x20, hex('0100000000210009'))],
  'ssl with two versions': [tlv(0x20, Buffer.concat([hex('0100000000'), TLS_1_3, TLS_1_3]))],
  'two ssl': [tlv(0x20, hex('0000000000')), tlv(0x20, hex('0000000000'))],
  'a namespace with a NUL': [tlv(0x30, 'a\0b')],
  'an AWS value of no byte': [tlv(0xea, '')],
  'an AWS id of no character': [tlv(0xea, '\x01')],
  'an AWS id with a space': [tlv(0xea, '\x01vpce 1')],
  'an Azure LINKID of three bytes': [tlv(0xee, hex('01010203'))],
  'an Azure LINKID of five bytes': [tlv(0xee, hex('010102030405'))],
  'a GCP id of seven bytes': [tlv(0xe0, hex('01020304050607'))],
  'a GCP id in ASCII': [tlv(0xe0, '12345678901234567')],
  'two ids of one cloud': [tlv(0xea, '\x01vpce-1'), tlv(0xea, '\x01vpce-2')],
  'ids of two clouds': [tlv(0xea, '\x01vpce-1'), tlv(0xee, hex('0187d61200'))],
}

await test('a TLV that is malformed makes the header invalid', async t => {
  for (const [name, tlvs] of Object.entries(MALFORMED))
    t.equal(parseProxyHeader(proxyV2({ tlvs })).kind, 'invalid', name)
})

await test('the number of TLVs and the bytes of all are capped', async t => {
  const padding = Array.from({ length: MAX_PROXY_TLVS }, () => tlv(0x04, ''))
  t.equal(parseProxyHeader(proxyV2({ tlvs: padding })).kind, 'header')
  t.match(parseProxyHeader(proxyV2({ tlvs: [...padding, tlv(0x04, '')] })), {
    kind: 'invalid',
    why: 'too many TLVs',
  })
  t.match(parseProxyHeader(proxyV2({ tlvs: [tlv(0xe7, 'x'.repeat(4_100))] })), {
    kind: 'invalid',
    why: 'version 2 header is too long',
  })
})

await test('no value of any TLV makes reading it fail', async t => {
  for (let type = 0; type < 256; type++)
    for (const length of [0, 1, 4, 5, 8, 300])
      for (const byte of [0, 1, 0x2d, 0xff])
        readProxyFacts([{ type, value: Buffer.alloc(length, byte) }])
  t.pass('nothing was thrown')
})
