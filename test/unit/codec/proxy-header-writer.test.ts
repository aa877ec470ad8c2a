import { test } from 'tap'
import { writeProxyHeader } from '../../../src/codec/proxy-header-writer.ts'
import { parseProxyHeader } from '../../../src/codec/proxy-protocol.ts'

const FOUR = { address: '192.0.2.1', port: 40_000 }
const FOUR_TO = { address: '198.51.100.2', port: 443 }
const SIX = { address: '2001:db8::1', port: 1 }
const SIX_TO = { address: 'fe80::ffff', port: 65_535 }

await test('a header that we write has the form of the specification', async t => {
  const v4 = { source: FOUR, destination: FOUR_TO }
  t.equal(writeProxyHeader(1, v4).toString(), 'PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n')
  t.equal(
    writeProxyHeader(2, v4).toString('hex'),
    '0d0a0d0a000d0a515549540a2111000cc0000201c63364029c4001bb',
  )
  const v6 = { source: SIX, destination: SIX_TO }
  t.equal(
    writeProxyHeader(1, v6).toString(),
    'PROXY TCP6 2001:db8:0:0:0:0:0:1 fe80:0:0:0:0:0:0:ffff 1 65535\r\n',
  )
})

await test('a header of our own connection is LOCAL, in version 1 UNKNOWN', async t => {
  t.equal(writeProxyHeader(1, undefined).toString(), 'PROXY UNKNOWN\r\n')
  t.equal(writeProxyHeader(2, undefined).toString('hex'), '0d0a0d0a000d0a515549540a20000000')
  const unreadable = { source: { address: '', port: 0 }, destination: FOUR_TO }
  t.equal(writeProxyHeader(1, unreadable).toString(), 'PROXY UNKNOWN\r\n')
})

await test('what we write is what we read, also of two families', async t => {
  for (const version of [1, 2] as const)
    for (const source of [FOUR, SIX])
      for (const destination of [FOUR_TO, SIX_TO]) {
        const bytes = writeProxyHeader(version, { source, destination })
        t.match(parseProxyHeader(bytes), {
          kind: 'header',
          length: bytes.length,
          header: { version, local: false, source, destination },
        })
        if (version === 1) t.ok(bytes.length <= 107)
      }
})
