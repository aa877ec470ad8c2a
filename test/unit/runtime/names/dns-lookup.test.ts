/** One resolution against a DNS server of the test; names end in `.test`, which the system knows nothing of. */
import { type Test, test } from 'tap'
import { DnsLookup, type NameAnswer } from '../../../../src/runtime/names/dns-lookup.ts'
import { type DnsServer, dnsServer, type Zone } from '../../../support/dns-server.ts'

interface Lab {
  readonly server: DnsServer
  readonly find: (name: string, askSystem?: boolean) => Promise<NameAnswer>
}

async function lab(t: Test, zone: Zone): Promise<Lab> {
  const server = await dnsServer(t, zone)
  const lookup = new DnsLookup({ servers: [server.address], timeoutMs: 100 })
  t.teardown(() => lookup.close())
  return { server, find: (name, askSystem = false) => lookup.find(name, askSystem) }
}

await test('a name leads to all its IPv4 addresses, for as long as DNS says', async t => {
  const { server, find } = await lab(t, { 'web.test': ['10.0.0.1', '10.0.0.2', '2001:db8::1'] })
  server.ttl = 42
  t.same(await find('web.test'), {
    kind: 'found',
    addresses: ['10.0.0.1', '10.0.0.2'],
    ttlMs: 42_000,
    fromSystem: false,
  })
  t.same(server.questions, ['A web.test'])
})

await test('IPv6 addresses are used where there is no IPv4', async t => {
  const { find } = await lab(t, { 'web.test': ['2001:db8::1', 'fd00::2'] })
  t.match(await find('web.test'), { kind: 'found', addresses: ['2001:db8::1', 'fd00::2'] })
})

await test('a TTL is a second at least and five minutes at most', async t => {
  const { server, find } = await lab(t, { 'web.test': ['10.0.0.1'] })
  server.ttl = 0
  t.match(await find('web.test'), { ttlMs: 1_000 })
  server.ttl = 86_400
  t.match(await find('web.test'), { ttlMs: 300_000 })
})

await test('a name that does not exist, or has no address, is unknown', async t => {
  const { find } = await lab(t, { 'empty.test': [] })
  t.same(await find('nothing.test'), { kind: 'unknown' })
  t.same(await find('empty.test'), { kind: 'unknown' })
})

await test('a server that fails or says nothing says nothing about the name', async t => {
  const { find } = await lab(t, { 'broken.test': 'broken', 'silent.test': 'silent' })
  t.same(await find('broken.test'), { kind: 'down' })
  t.same(await find('silent.test'), { kind: 'down' })
})

await test('what cannot be a name is unknown', async t => {
  const { find } = await lab(t, {})
  t.same(await find(`${'x'.repeat(64)}.test`), { kind: 'unknown' })
})

await test('localhost never goes to a server', async t => {
  const { server, find } = await lab(t, { localhost: ['10.0.0.1'] })
  const answer = await find('localhost')
  t.match(answer, { kind: 'found', ttlMs: 30_000, fromSystem: true })
  t.ok(answer.kind === 'found' && answer.addresses.every(each => /^(127\.|::1$)/.test(each)))
  t.same(server.questions, [])
})

await test('after close, what is under way ends', async t => {
  const server = await dnsServer(t, { 'silent.test': 'silent' })
  const lookup = new DnsLookup({ servers: [server.address], timeoutMs: 60_000 })
  const answer = lookup.find('silent.test', false)
  lookup.close()
  t.same(await answer, { kind: 'down' })
})

/** A system whose every answer the test gives, and a DNS server that knows nothing. */
async function withSystem(
  t: Test,
  system: (name: string) => Promise<string[]>,
  zone: Zone = {},
): Promise<DnsLookup> {
  const server = await dnsServer(t, zone)
  const lookup = new DnsLookup({ servers: [server.address], timeoutMs: 100, system })
  t.teardown(() => lookup.close())
  return lookup
}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code })
}

await test('what DNS does not know the system may, and what it knows is not asked there', async t => {
  const asked: string[] = []
  const lookup = await withSystem(
    t,
    async name => {
      asked.push(name)
      return ['10.0.0.7', '::1']
    },
    { 'web.test': ['10.0.0.1'] },
  )
  t.match(await lookup.find('short', false), {
    kind: 'found',
    addresses: ['10.0.0.7', '::1'],
    ttlMs: 30_000,
    fromSystem: true,
  })
  t.match(await lookup.find('web.test', true), { addresses: ['10.0.0.1'], fromSystem: false })
  t.same(asked, ['short'])
})

await test('while DNS is down the system is asked only if that is wanted', async t => {
  const lookup = await withSystem(t, async () => ['10.0.0.7'], { 'web.test': 'broken' })
  t.same(await lookup.find('web.test', false), { kind: 'down' })
  t.match(await lookup.find('web.test', true), { kind: 'found', fromSystem: true })
})

await test('a name is unknown only where the last who was asked knows that', async t => {
  let code = 'ENOTFOUND'
  const lookup = await withSystem(t, () => Promise.reject(failure(code)), { 'web.test': 'broken' })
  t.same(await lookup.find('none.test', false), { kind: 'unknown' })
  t.same(await lookup.find('web.test', true), { kind: 'down' }, 'DNS might have known')
  code = 'EAI_AGAIN'
  t.same(await lookup.find('none.test', false), { kind: 'down' }, 'the system might have known')
})

await test('the system is asked for two names at a time, so that files do not wait for names', async t => {
  const asked: { name: string; answer: () => void }[] = []
  const lookup = await withSystem(
    t,
    name =>
      new Promise(resolve => {
        asked.push({ name, answer: () => resolve(['10.0.0.7']) })
      }),
  )
  const names = Array.from({ length: 5 }, (_, index) => `${index}.localhost`)
  const answers = names.map(async name => lookup.find(name, false))
  await new Promise(resolve => setImmediate(resolve))
  for (const [index, answer] of answers.entries()) {
    t.same(
      asked.map(({ name }) => name),
      names.slice(0, index + 2),
    )
    asked[index]?.answer()
    await answer
    await new Promise(resolve => setImmediate(resolve))
  }
})
