import { test } from 'tap'
import {
  canonicalIp,
  endOf,
  ipNumber,
  isLinkLocal,
  isLoopback,
  isLoopbackText,
  parseIpBlock,
  startOf,
} from '../../../src/codec/ip-block.ts'

await test('an address has one text', async t => {
  const cases: readonly [string, string | undefined][] = [
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::FFFF:a00:1', '10.0.0.1'],
    ['2001:DB8:0:0::1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::', '::'],
    ['10.0.0.01', undefined],
    ['10.0.0', undefined],
    ['acme.example.com', undefined],
    ['', undefined],
  ]
  for (const [text, expected] of cases) t.equal(canonicalIp(text), expected, text)
  t.equal(ipNumber('::ffff:10.0.0.1'), ipNumber('10.0.0.1'))
})

await test('blocks hold what lies in them, and nothing else', async t => {
  const inside = (block: string, address: string): boolean => {
    const parsed = parseIpBlock(block)
    if (parsed === undefined) throw new Error(block)
    return startOf(ipNumber(address) ?? -1n, parsed.bits) === parsed.first
  }
  t.ok(inside('10.0.0.0/8', '10.255.255.255'))
  t.notOk(inside('10.0.0.0/8', '11.0.0.0'))
  t.ok(inside('10.1.2.3/16', '10.1.0.0'), 'bits behind the prefix do not count')
  t.ok(inside('10.1.2.3', '10.1.2.3'))
  t.notOk(inside('10.1.2.3', '10.1.2.4'))
  t.ok(inside('2001:db8::/32', '2001:db8:ffff::1'))
  t.notOk(inside('2001:db8::/32', '2001:db9::'))
  t.ok(inside('0.0.0.0/0', '255.255.255.255'))
  t.notOk(inside('0.0.0.0/0', '2001:db8::1'))
  t.equal(endOf({ first: ipNumber('10.0.0.0') ?? 0n, bits: 96 + 24 }), ipNumber('10.0.0.255'))
  for (const wrong of ['10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/08', 'x/8', '10.0.0.0/-1'])
    t.equal(parseIpBlock(wrong), undefined, wrong)
})

await test('loopback and link-local addresses are known in every spelling', async t => {
  for (const address of ['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1'])
    t.ok(isLoopback(ipNumber(address) ?? 0n), address)
  for (const address of ['128.0.0.1', '126.255.255.255', '::2', '::', '2001:db8::1', '::127'])
    t.notOk(isLoopback(ipNumber(address) ?? -1n), address)
  for (const address of [
    '127.0.0.1',
    '::FFFF:127.1.2.3',
    '0:0::1',
    '128.0.0.1',
    '::2',
    '12.7.0.1',
    '127::',
  ])
    t.equal(
      isLoopbackText(canonicalIp(address) ?? ''),
      isLoopback(ipNumber(address) ?? 0n),
      address,
    )
  for (const address of ['fe80::1', 'febf::1', '169.254.1.1'])
    t.ok(isLinkLocal(ipNumber(address) ?? 0n), address)
  for (const address of ['fec0::1', '169.253.1.1', '169.255.0.0', '::1'])
    t.notOk(isLinkLocal(ipNumber(address) ?? 0n), address)
})
