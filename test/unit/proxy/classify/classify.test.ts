import { test } from 'tap'
import { ERRORS, type ErrorCode } from '../../../../src/core/errors.ts'
import {
  type CredentialResult,
  classify,
  type Evidence,
} from '../../../../src/proxy/classify/classify.ts'
import { Tenant } from '../../../../src/proxy/tenant/tenant.ts'
import { tenantConfig } from '../../../support/token-issuer.ts'

const acme = Tenant.of(0, tenantConfig('acme'))
const globex = Tenant.of(1, tenantConfig('globex'))
const closed = Tenant.of(2, { ...tenantConfig('closed'), disabled: true })

const NOTHING: Evidence = { mode: 'shared', http: true, jwt: undefined, apiKey: undefined }

/** `acme l7`, or the error. */
function outcome(evidence: Evidence): string {
  const verdict = classify(evidence)
  return verdict.kind === 'refused' ? verdict.error : `${verdict.tenant.id} ${verdict.routability}`
}

const ROWS: readonly (readonly [name: string, evidence: Partial<Evidence>, expected: string])[] = [
  ['nothing', {}, 'unroutable'],
  ['a certificate', { certificateTenant: acme }, 'acme l4'],
  ['a token', { jwt: acme }, 'acme l7'],
  ['an API key', { apiKey: acme }, 'acme l7'],
  ['a host name', { hostTenant: acme }, 'acme private'],
  ['a certificate and a key', { certificateTenant: acme, apiKey: acme }, 'acme l4'],
  ['a key and a host name', { apiKey: acme, hostTenant: acme }, 'acme l7'],
  ['a token and a key', { jwt: acme, apiKey: acme }, 'acme l7'],
  ['two tenants by token and key', { jwt: acme, apiKey: globex }, 'tenant_mismatch'],
  ['two tenants by key and host name', { apiKey: acme, hostTenant: globex }, 'tenant_mismatch'],
  [
    'two tenants by certificate and host name',
    { certificateTenant: acme, hostTenant: globex },
    'tenant_mismatch',
  ],
  [
    'two tenants by certificate and key',
    { certificateTenant: acme, apiKey: globex },
    'tenant_mismatch',
  ],
  [
    'a certificate that is no valid SVID, whatever else there is',
    { certificateTenant: 'svid_invalid', jwt: acme, hostTenant: acme },
    'svid_invalid',
  ],
  [
    'an SVID that its issuer does not speak for',
    { certificateTenant: 'svid_untrusted', apiKey: acme },
    'svid_untrusted',
  ],
  [
    'the same at an address',
    { mode: 'private', addressTenant: acme, certificateTenant: 'svid_untrusted' },
    'svid_untrusted',
  ],
  ['a certificate of two tenants', { certificateTenant: 'tenant_mismatch' }, 'tenant_mismatch'],
  ['an expired token', { jwt: 'credential_expired' }, 'credential_expired'],
  [
    'an expired token with a certificate',
    { jwt: 'credential_expired', certificateTenant: acme },
    'credential_expired',
  ],
  [
    'an invalid key with a token',
    { jwt: acme, apiKey: 'credential_invalid' },
    'credential_invalid',
  ],
  ['a foreign token', { jwt: 'foreign' }, 'credential_invalid'],
  ['a foreign token with a key', { jwt: 'foreign', apiKey: acme }, 'acme l7'],
  ['a foreign token with a certificate', { jwt: 'foreign', certificateTenant: acme }, 'acme l4'],
  ['a foreign key with a host name', { apiKey: 'foreign', hostTenant: acme }, 'acme private'],
  ['a disabled tenant', { jwt: closed }, 'tenant_disabled'],
  ['a disabled tenant and another', { jwt: closed, hostTenant: acme }, 'tenant_mismatch'],
  ['an address, shared', { addressTenant: acme }, 'unroutable'],
  ['an address', { mode: 'private', addressTenant: acme }, 'acme private'],
  ['an address of nobody', { mode: 'private' }, 'unroutable'],
  ['an address of nobody with a key', { mode: 'private', apiKey: acme }, 'unroutable'],
  ['an address and a key', { mode: 'private', addressTenant: acme, apiKey: acme }, 'acme private'],
  [
    'an address and the key of another',
    { mode: 'private', addressTenant: acme, apiKey: globex },
    'tenant_mismatch',
  ],
  [
    'an address and the host name of another',
    { mode: 'private', addressTenant: acme, hostTenant: globex },
    'tenant_mismatch',
  ],
  [
    'an address and a foreign token',
    { mode: 'private', addressTenant: acme, jwt: 'foreign' },
    'acme private',
  ],
  [
    'an address and an invalid token',
    { mode: 'private', addressTenant: acme, jwt: 'credential_invalid' },
    'credential_invalid',
  ],
  [
    'an address that has changed hands',
    { mode: 'private', addressTenant: 'tenant_mismatch' },
    'tenant_mismatch',
  ],
  ['a private link', { linkTenant: acme }, 'acme private'],
  ['a private link, private', { mode: 'private', linkTenant: acme }, 'acme private'],
  ['a private link of a disabled tenant', { linkTenant: closed }, 'tenant_disabled'],
  [
    'a private link and a certificate',
    { linkTenant: acme, certificateTenant: acme },
    'acme private',
  ],
  ['a private link and a key', { linkTenant: acme, apiKey: acme }, 'acme private'],
  ['a private link and a foreign token', { linkTenant: acme, jwt: 'foreign' }, 'acme private'],
  [
    'a private link and the key of another',
    { linkTenant: acme, apiKey: globex },
    'tenant_mismatch',
  ],
  [
    'a private link and the certificate of another',
    { linkTenant: acme, certificateTenant: globex },
    'tenant_mismatch',
  ],
  [
    'a private link and the host name of another',
    { linkTenant: acme, hostTenant: globex },
    'tenant_mismatch',
  ],
  [
    'a private link and the address of another',
    { mode: 'private', linkTenant: acme, addressTenant: globex },
    'tenant_mismatch',
  ],
  [
    'a private link that has changed hands, and a key',
    { linkTenant: 'tenant_mismatch', apiKey: acme },
    'tenant_mismatch',
  ],
  ['a tunnel with a private link', { http: false, linkTenant: acme }, 'acme private'],
  ['a tunnel with a certificate', { http: false, certificateTenant: acme }, 'acme l4'],
  ['a tunnel with an SNI name', { http: false, hostTenant: acme }, 'acme private'],
  ['a tunnel with a token, which it cannot have', { http: false, jwt: acme }, 'unroutable'],
]

/** Ends TLS itself. */
const own = Tenant.of(3, { ...tenantConfig('own'), passthrough: true })

const NAMED_ROWS: typeof ROWS = [
  ['a call for the name of its TLS', { hostTenant: acme, serverTenant: acme }, 'acme private'],
  [
    'a call for another name than that of its TLS',
    { hostTenant: globex, serverTenant: acme },
    'misdirected_request',
  ],
  [
    'a key of another than the name of its TLS',
    { apiKey: globex, serverTenant: acme },
    'misdirected_request',
  ],
  [
    'a token of another than the name of its TLS',
    { jwt: globex, serverTenant: acme },
    'misdirected_request',
  ],
  [
    'a certificate of another than the name of its TLS',
    { certificateTenant: globex, serverTenant: acme },
    'misdirected_request',
  ],
  [
    'the address of another than the name of its TLS',
    { mode: 'private', addressTenant: globex, serverTenant: acme },
    'misdirected_request',
  ],
  ['the name of TLS alone, with HTTP', { serverTenant: acme }, 'unroutable'],
  [
    'the name of TLS beside a contradiction',
    { jwt: acme, hostTenant: globex, serverTenant: acme },
    'tenant_mismatch',
  ],
  [
    'a tunnel for the name of its TLS',
    { http: false, secure: true, hostTenant: acme, serverTenant: acme },
    'acme private',
  ],
  ['a tunnel to a tenant with passthrough', { http: false, hostTenant: own }, 'own private'],
  ['its address', { http: false, mode: 'private', addressTenant: own }, 'own private'],
  [
    'its name, where TLS was ended',
    { http: false, secure: true, hostTenant: own, serverTenant: own },
    'misdirected_request',
  ],
  ['its name, with HTTP', { hostTenant: own }, 'misdirected_request'],
  ['its id in a token', { jwt: own }, 'misdirected_request'],
  ['its address, with HTTP', { mode: 'private', addressTenant: own }, 'misdirected_request'],
]

await test('a call that contradicts the name of its TLS, or a tenant with passthrough, is misdirected', async t => {
  for (const [name, evidence, expected] of NAMED_ROWS) {
    t.equal(outcome({ ...NOTHING, ...evidence }), expected, name)
  }
})

await test('routes and refuses as the table says', async t => {
  for (const [name, evidence, expected] of ROWS) {
    t.equal(outcome({ ...NOTHING, ...evidence }), expected, name)
  }
})

const OWNERS = [undefined, acme, globex, closed] as const
/** Of an address or a private link that can change hands, and of a certificate that can name two. */
const HELD = [...OWNERS, 'tenant_mismatch'] as const
const CREDENTIALS: readonly CredentialResult[] = [...OWNERS, 'credential_expired', 'foreign']

function* everyEvidence(): Generator<Evidence> {
  for (const mode of ['shared', 'private'] as const)
    for (const http of [true, false])
      for (const addressTenant of HELD)
        for (const linkTenant of HELD)
          for (const certificateTenant of HELD)
            for (const jwt of CREDENTIALS)
              for (const apiKey of CREDENTIALS)
                for (const hostTenant of OWNERS) {
                  const connection = { mode, http, addressTenant, linkTenant, certificateTenant }
                  yield { ...connection, jwt, apiKey, hostTenant }
                }
}

/** The rules said another way: each is a question about the set of all evidence, asked in order. */
function expectedOutcome(evidence: Evidence): string {
  const credentials = evidence.http ? [evidence.jwt, evidence.apiKey] : []
  const bad = credentials.find(c => typeof c === 'string' && c in ERRORS)
  if (bad !== undefined) return bad as ErrorCode
  const connection = [evidence.addressTenant, evidence.linkTenant, evidence.certificateTenant]
  if (connection.includes('tenant_mismatch')) return 'tenant_mismatch'
  const named = [...connection, ...credentials, evidence.hostTenant]
  const owners = new Set(named.filter(owner => owner instanceof Tenant))
  if (owners.size > 1) return 'tenant_mismatch'
  const [owner] = owners
  const kinds =
    evidence.mode === 'private'
      ? [(evidence.addressTenant ?? evidence.linkTenant) ? 'private' : '']
      : [
          evidence.linkTenant ? 'private' : '',
          evidence.certificateTenant ? 'l4' : '',
          credentials.some(c => c instanceof Tenant) ? 'l7' : '',
          evidence.hostTenant ? 'private' : '',
        ]
  const kind = kinds.find(k => k !== '')
  if (kind === undefined || owner === undefined) {
    const foreign = evidence.mode === 'shared' && credentials.includes('foreign')
    return foreign ? 'credential_invalid' : 'unroutable'
  }
  return owner === closed ? 'tenant_disabled' : `${owner.id} ${kind}`
}

await test('agrees with the rules on every combination of evidence', async t => {
  let count = 0
  const wrong: string[] = []
  for (const evidence of everyEvidence()) {
    count += 1
    const got = outcome(evidence)
    const expected = expectedOutcome(evidence)
    if (got !== expected) wrong.push(`${JSON.stringify(evidence)}: ${got}, not ${expected}`)
  }
  t.equal(count, 2 * 2 * 5 * 5 * 5 * 6 * 6 * 4)
  t.same(wrong.slice(0, 5), [])
})

await test('never routes to a tenant that some evidence contradicts', async t => {
  let contradicted = 0
  for (const evidence of everyEvidence()) {
    const verdict = classify(evidence)
    if (verdict.kind === 'refused') continue
    const { addressTenant, linkTenant, certificateTenant, hostTenant, http } = evidence
    const all: unknown[] = [addressTenant, linkTenant, certificateTenant, hostTenant]
    if (http) all.push(evidence.jwt, evidence.apiKey)
    if (all.some(other => other instanceof Tenant && other !== verdict.tenant)) contradicted += 1
  }
  t.equal(contradicted, 0)
})

await test('gives the same frozen verdict each time, so that a call allocates none', async t => {
  const routed = classify({ ...NOTHING, jwt: acme })
  t.equal(classify({ ...NOTHING, jwt: acme }), routed)
  t.not(classify({ ...NOTHING, certificateTenant: acme }), routed)
  t.ok(Object.isFrozen(routed))
  const refused = classify(NOTHING)
  t.equal(classify(NOTHING), refused)
  t.ok(Object.isFrozen(refused))
})
