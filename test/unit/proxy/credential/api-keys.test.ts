import { hash } from 'node:crypto'
import { test } from 'tap'
import type { CredentialConfig } from '../../../../src/config/schema.ts'
import { formatApiKey } from '../../../../src/core/api-key.ts'
import { ApiKeys } from '../../../../src/proxy/credential/api-keys.ts'
import { TenantDirectory } from '../../../../src/proxy/tenant/directory.ts'
import { NOW, tenantConfig } from '../../../support/token-issuer.ts'

const LIMITS = { maxEntries: 100, maxKeyBytes: 10_000 }
const KEY = formatApiKey('acme', new Uint8Array(32).fill(1))
const OLD_KEY = 'legacy key of acme'

function credential(key: string | Buffer): CredentialConfig {
  return { apiKey: `sha256:${hash('sha256', key)}` }
}

function directoryWith(...keys: (string | Buffer)[]): TenantDirectory {
  const acme = tenantConfig('acme', { credentials: keys.map(credential) })
  return TenantDirectory.compile([acme, tenantConfig('globex')], 1)
}

await test('knows keys by their digest, whatever they look like', async t => {
  const directory = directoryWith(KEY, OLD_KEY)
  const keys = new ApiKeys({ directory }, LIMITS)
  for (let round = 0; round < 2; round += 1) {
    t.equal(keys.check(KEY, NOW), directory.byId('acme'))
    t.equal(keys.check(OLD_KEY, NOW), directory.byId('acme'))
  }
})

await test('tells keys that claim to be ours from foreign ones', async t => {
  const keys = new ApiKeys({ directory: directoryWith(KEY) }, LIMITS)
  const nobodys = formatApiKey('acme', new Uint8Array(32).fill(2))
  for (let round = 0; round < 2; round += 1) {
    t.equal(keys.check(nobodys, NOW), 'credential_invalid', 'well made, of nobody')
    t.equal(keys.check(`${KEY.slice(0, -1)}!`, NOW), 'credential_invalid', 'mistyped')
    t.equal(keys.check(`${KEY} `, NOW), 'credential_invalid', 'not exactly the key')
    t.equal(keys.check('sk_live_something', NOW), 'foreign')
    t.equal(keys.check('x'.repeat(100_000), NOW), 'foreign')
    t.equal(keys.check(`amt_${'x'.repeat(100_000)}`, NOW), 'credential_invalid')
  }
})

await test('forgets what it knew of tenants that changed, and of keys that were nobody’s', async t => {
  const directory = directoryWith(KEY)
  const keys = new ApiKeys({ directory }, LIMITS)
  const second = formatApiKey('acme', new Uint8Array(32).fill(3))
  keys.check(KEY, NOW)
  keys.check(second, NOW)
  const changed = [...directoryWith(second).tenants()].map(({ config }) => config)
  const next = TenantDirectory.update(directory, changed, 2)
  keys.setDirectory(next)
  t.equal(keys.check(KEY, NOW), 'credential_invalid', 'revoked')
  t.equal(keys.check(second, NOW), next.byId('acme'), 'issued')
})

await test('takes the digest of the bytes that were sent', async t => {
  const directory = directoryWith(Buffer.from('schl\u00fcssel', 'utf8'))
  const keys = new ApiKeys({ directory }, LIMITS)
  const asDecoded = Buffer.from('schl\u00fcssel', 'utf8').toString('latin1')
  t.equal(keys.check(asDecoded, NOW), directory.byId('acme'))
  t.equal(keys.check('schl\u00fcssel', NOW), 'foreign')
  const folded = new ApiKeys({ directory: directoryWith('A') }, LIMITS)
  t.equal(folded.check('\u0141', NOW), 'foreign', 'no byte is this character')
})

/** Notes the digests that are asked for. */
function lookupsOf(directory: TenantDirectory): string[] {
  const lookups: string[] = []
  const lookUp = directory.byApiKeyDigest.bind(directory)
  directory.byApiKeyDigest = hex => {
    lookups.push(hex)
    return lookUp(hex)
  }
  return lookups
}

await test('a key in our format is rejected by its checksum before any lookup or hash', async t => {
  const last = KEY.at(-1) === '0' ? '1' : '0'
  const malformed = [
    'amt_',
    'amt_acme',
    `${KEY.slice(0, -1)}${last}`,
    KEY.replace('amt_acme', 'amt_acne'),
    `${KEY}x`,
    KEY.slice(0, -1),
    `amt_${'x'.repeat(5_000)}`,
  ]
  // Registered all the same: were one of them hashed and looked up, it would be found.
  const directory = directoryWith(KEY, ...malformed)
  const lookups = lookupsOf(directory)
  const keys = new ApiKeys({ directory }, LIMITS)
  for (let round = 0; round < 2; round += 1)
    for (const key of malformed) t.equal(keys.check(key, NOW), 'credential_invalid', key)
  t.same(lookups, [])
  t.equal(keys.check(KEY, NOW), directory.byId('acme'))
  t.equal(keys.check(KEY, NOW), directory.byId('acme'))
  t.same(lookups, [hash('sha256', KEY)], 'one that is known is not looked up again')
})

await test('malformed keys take no room in a cache', async t => {
  const directory = directoryWith(KEY)
  const lookups = lookupsOf(directory)
  const keys = new ApiKeys({ directory }, LIMITS)
  keys.check('sk_unknown', NOW)
  for (let i = 0; i < 10_000; i += 1) keys.check(`amt_acme_${i}`, NOW)
  keys.check('sk_unknown', NOW)
  t.equal(lookups.length, 1, 'the one that was cached before them still is')
})

await test('the tenant in a key is the tenant that has its digest', async t => {
  const globex = tenantConfig('globex', { credentials: [credential(KEY), credential(OLD_KEY)] })
  const directory = TenantDirectory.compile([tenantConfig('acme'), globex], 1)
  const keys = new ApiKeys({ directory }, LIMITS)
  for (let round = 0; round < 2; round += 1) {
    t.equal(
      keys.check(KEY, NOW),
      'credential_invalid',
      'a key that says acme, in the hands of globex',
    )
    t.equal(keys.check(OLD_KEY, NOW), directory.byId('globex'), 'another format names nobody')
  }
  t.same(
    keys.uses.take().map(use => use.digest),
    [hash('sha256', OLD_KEY)],
  )
})

await test('a key is refused from the moment of its expiry on, also one that is cached', async t => {
  const expires = new Date(NOW + 60_000).toISOString()
  const acme = tenantConfig('acme', {
    credentials: [{ ...credential(KEY), expires }, credential(OLD_KEY)],
  })
  const directory = TenantDirectory.compile([acme], 1)
  const keys = new ApiKeys({ directory }, LIMITS)
  t.equal(keys.check(KEY, NOW), directory.byId('acme'))
  t.equal(keys.validUntilMs, NOW + 60_000)
  t.equal(keys.check(KEY, NOW + 59_999), directory.byId('acme'))
  t.equal(keys.check(KEY, NOW + 60_000), 'credential_expired')
  t.equal(keys.check(OLD_KEY, NOW + 60_000), directory.byId('acme'), 'the other one goes on')
  t.equal(keys.validUntilMs, Number.POSITIVE_INFINITY)
  const later = new ApiKeys({ directory }, LIMITS)
  t.equal(later.check(KEY, NOW + 60_000), 'credential_expired', 'also where nobody knew it before')
  t.same(later.uses.take(), [], 'a refused key is not used')
})

await test('an expiry may be written in any time zone', async t => {
  const acme = tenantConfig('acme', {
    credentials: [{ ...credential(KEY), expires: '2026-11-22T02:00:00+01:30' }],
  })
  const directory = TenantDirectory.compile([acme], 1)
  const keys = new ApiKeys({ directory }, LIMITS)
  t.equal(keys.check(KEY, Date.UTC(2026, 10, 22, 0, 29, 59, 999)), directory.byId('acme'))
  t.equal(keys.check(KEY, Date.UTC(2026, 10, 22, 0, 30)), 'credential_expired')
})
