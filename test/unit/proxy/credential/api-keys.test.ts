import { hash } from 'node:crypto'
import { test } from 'tap'
import type { CredentialConfig } from '../../../../src/config/schema.ts'
import { formatApiKey } from '../../../../src/core/api-key.ts'
import { ApiKeys } from '../../../../src/proxy/credential/api-keys.ts'
import { TenantDirectory } from '../../../../src/proxy/tenant/directory.ts'
import { tenantConfig } from './token-issuer.ts'

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
    t.equal(keys.check(KEY), directory.byId('acme'))
    t.equal(keys.check(OLD_KEY), directory.byId('acme'))
  }
})

await test('tells keys that claim to be ours from foreign ones', async t => {
  const keys = new ApiKeys({ directory: directoryWith(KEY) }, LIMITS)
  const nobodys = formatApiKey('acme', new Uint8Array(32).fill(2))
  for (let round = 0; round < 2; round += 1) {
    t.equal(keys.check(nobodys), 'credential_invalid', 'well made, of nobody')
    t.equal(keys.check(`${KEY.slice(0, -1)}!`), 'credential_invalid', 'mistyped')
    t.equal(keys.check(`${KEY} `), 'credential_invalid', 'not exactly the key')
    t.equal(keys.check('sk_live_something'), 'foreign')
    t.equal(keys.check('x'.repeat(100_000)), 'foreign')
    t.equal(keys.check(`amt_${'x'.repeat(100_000)}`), 'credential_invalid')
  }
})

await test('forgets all it knew with the directory', async t => {
  const keys = new ApiKeys({ directory: directoryWith(KEY) }, LIMITS)
  const second = formatApiKey('acme', new Uint8Array(32).fill(3))
  keys.check(KEY)
  keys.check(second)
  const next = directoryWith(second)
  keys.setDirectory(next)
  t.equal(keys.check(KEY), 'credential_invalid', 'revoked')
  t.equal(keys.check(second), next.byId('acme'), 'issued')
})

await test('takes the digest of the bytes that were sent', async t => {
  const directory = directoryWith(Buffer.from('schl\u00fcssel', 'utf8'))
  const keys = new ApiKeys({ directory }, LIMITS)
  const asDecoded = Buffer.from('schl\u00fcssel', 'utf8').toString('latin1')
  t.equal(keys.check(asDecoded), directory.byId('acme'))
  t.equal(keys.check('schl\u00fcssel'), 'foreign')
  const folded = new ApiKeys({ directory: directoryWith('A') }, LIMITS)
  t.equal(folded.check('\u0141'), 'foreign', 'no byte is this character')
})
