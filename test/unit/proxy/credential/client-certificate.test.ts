import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { BitString } from 'asn1js'
import fc from 'fast-check'
import {
  AltName,
  BasicConstraints,
  Certificate,
  type Extension,
  id_BasicConstraints,
  id_KeyUsage,
  id_SubjectAltName,
} from 'pkijs'
import { test } from 'tap'
import type { CredentialConfig } from '../../../../src/config/schema.ts'
import {
  type ClientCertificate,
  ownerOfCertificate,
  readClientCertificate,
  type VerifiedPeer,
} from '../../../../src/proxy/credential/client-certificate.ts'
import { ClientTrust } from '../../../../src/proxy/credential/client-trust.ts'
import { TenantDirectory } from '../../../../src/proxy/tenant/directory.ts'
import {
  attribute,
  authority,
  type CertificateParts,
  CLIENT_AUTH,
  dns,
  issue,
  mail,
  svid,
  uri,
} from '../../../support/custom-certificate.ts'
import { tenantConfig } from '../../../support/token-issuer.ts'

const DAY_MS = 86_400_000
const NOW = Date.now()
const ID = 'spiffe://example.org/tenant/acme'

/** As a listener without trust domains of their own has it: its authorities are those of the one trust domain. */
const TRUST = new ClientTrust({ trustDomain: 'example.org', trustDomains: [] }, [
  { certificate: '', trustDomain: 'example.org' },
])

function peer(certificate: X509Certificate | undefined, authorized = true): VerifiedPeer {
  return {
    authorized,
    getPeerX509Certificate: () => certificate,
    isSessionReused: () => false,
  }
}

/** What Node can read at all. */
function parsed(der: Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(der)
  } catch {
    return undefined
  }
}

function extensionsByPkijs(der: Buffer): readonly Extension[] | undefined {
  try {
    return Certificate.fromBER(Uint8Array.from(der)).extensions
  } catch {
    return undefined
  }
}

/** Whether the certificate is an SVID to a parser that reads all of it; also true where that cannot read it. */
function isSvidToPkijs(der: Buffer): boolean {
  const extensions = extensionsByPkijs(der)
  if (extensions === undefined) return true
  const value = (id: string): unknown => extensions.find(each => each.extnID === id)?.parsedValue
  const [names, constraints, usage] = [
    value(id_SubjectAltName),
    value(id_BasicConstraints),
    value(id_KeyUsage),
  ]
  const uris = names instanceof AltName ? names.altNames.filter(({ type }) => type === 6) : []
  const bits = usage instanceof BitString ? (usage.valueBlock.valueHexView[0] ?? 0) : 0
  return (
    uris.length === 1 &&
    String(uris[0]?.value).startsWith('spiffe://example.org/') &&
    !(constraints instanceof BasicConstraints && constraints.cA) &&
    (bits & 0b1000_0110) === 0b1000_0000
  )
}

async function read(
  parts: CertificateParts,
  authorized = true,
): Promise<ClientCertificate | undefined> {
  const { x509 } = await issue(parts)
  return readClientCertificate(peer(x509, authorized), TRUST, NOW)
}

await test('takes the SPIFFE id of an X.509-SVID', async t => {
  t.equal((await read({ altNames: [uri(ID)] }))?.spiffeId, ID)
  t.equal((await read({ altNames: [dns('acme.example.com'), uri(ID)] }))?.spiffeId, ID)
})

await test('an SVID needs no subject', async t => {
  const certificate = await read({ subject: [], altNames: [uri(ID)], altNamesCritical: true })
  t.equal(certificate?.spiffeId, ID)
  t.equal(certificate?.xfcc, `Hash=${certificate?.digest};Subject="";URI=${ID}`)
  t.match(await read({ subject: [] }), { subject: '', fault: undefined }, 'nor does any other')
})

await test('takes no SPIFFE id from anything else, and says why where one is claimed', async t => {
  const cases: readonly (readonly [string, CertificateParts, string | undefined])[] = [
    ['no name', {}, undefined],
    [
      'two URIs',
      { altNames: [uri(ID), uri('spiffe://example.org/tenant/globex')] },
      'svid_invalid',
    ],
    ['another URI beside it', { altNames: [uri(ID), uri('https://example.org')] }, 'svid_invalid'],
    ['an authority', { altNames: [uri(ID)], authority: true }, 'svid_invalid'],
    ['no key usage', { altNames: [uri(ID)], keyUsage: 'absent' }, 'svid_invalid'],
    [
      'another trust domain',
      { altNames: [uri('spiffe://example.com/tenant/acme')] },
      'svid_untrusted',
    ],
    [
      'a longer trust domain',
      { altNames: [uri('spiffe://example.org.evil.com/x')] },
      'svid_untrusted',
    ],
    ['a port', { altNames: [uri('spiffe://example.org:443/tenant/acme')] }, 'svid_invalid'],
    ['a user', { altNames: [uri('spiffe://example.org@evil.com/tenant/acme')] }, 'svid_invalid'],
    ['a dot segment', { altNames: [uri('spiffe://example.org/tenant/x/../acme')] }, 'svid_invalid'],
    ['a NUL', { altNames: [uri(`${ID}\0.evil`)] }, 'svid_invalid'],
    ['capitals', { altNames: [uri('SPIFFE://example.org/tenant/acme')] }, 'svid_invalid'],
    ['an id in a DNS name', { altNames: [dns(`x, URI:${ID}`)] }, undefined],
    ['an id after a quote in a DNS name', { altNames: [dns(`x", URI:${ID}`)] }, undefined],
    ['an id in a mail address', { altNames: [mail(`a@b, URI:${ID}`)] }, undefined],
    ['an id within a URI', { altNames: [uri(`http://x, URI:${ID}`)] }, undefined],
    ['an id in the subject', { subject: [attribute('CN', ID)] }, undefined],
  ]
  for (const [name, parts, fault] of cases) {
    const certificate = await read(parts)
    t.equal(certificate?.spiffeId, undefined, name)
    t.equal(certificate?.fault, fault, name)
  }
})

await test('where SPIFFE is not configured, a certificate is no more than a certificate', async t => {
  for (const parts of [{ altNames: [uri(ID)] }, { altNames: [uri(ID), uri(ID)] }]) {
    const { x509 } = await issue(parts)
    const read = readClientCertificate(peer(x509), new ClientTrust(undefined, []), NOW)
    t.match(read, { spiffeId: undefined, fault: undefined, foreign: false })
  }
})

await test('reads nothing from a certificate that was not verified, has expired or is not there', async t => {
  t.equal(await read({ altNames: [uri(ID)] }, false), undefined)
  t.equal(await read({ altNames: [uri(ID)], endsAt: NOW - DAY_MS }), undefined)
  t.equal(readClientCertificate(peer(undefined), TRUST, NOW), undefined)
})

await test('a bad SVID is nobody, also where it is pinned: the strongest evidence never silently wins', async t => {
  const owner = (certificate: ClientCertificate | undefined): unknown => {
    if (certificate === undefined) throw new Error('not read')
    const pin: CredentialConfig = { certificate: `sha256:${certificate.digest}` }
    const spiffe: CredentialConfig = { spiffe: 'spiffe://example.org/*' }
    const unpinned = TenantDirectory.compile([tenantConfig('globex', { credentials: [spiffe] })], 1)
    const pinned = TenantDirectory.compile([tenantConfig('acme', { credentials: [pin] })], 1)
    const found = ownerOfCertificate(certificate, pinned)
    return [ownerOfCertificate(certificate, unpinned), typeof found === 'object' ? found.id : found]
  }
  const twoIds = await read({ altNames: [uri(ID), uri(ID)] })
  t.same(owner(twoIds), ['svid_invalid', 'svid_invalid'])
  // Nobody here can say whether a foreign id is true, but whose this very certificate is, the operator has said.
  const foreign = await read({ altNames: [uri('spiffe://example.com/x')] })
  t.same(owner(foreign), ['svid_untrusted', 'acme'])
  // An id of our own trust domain that its authority has not signed is a forgery.
  const trust = new ClientTrust({ trustDomain: 'example.org', trustDomains: [] }, [])
  const { x509 } = await issue({ altNames: [uri(ID)] })
  t.same(owner(readClientCertificate(peer(x509), trust, NOW)), ['svid_untrusted', 'svid_untrusted'])
  t.same(owner(await read({})), [undefined, 'acme'], 'what is no SVID may be pinned')
})

await test('finds the owner by digest or id, and none where they contradict each other', async t => {
  const certificate = await read({ altNames: [uri(ID)] })
  if (certificate === undefined) throw new Error('not read')
  const pin: CredentialConfig = { certificate: `sha256:${certificate.digest}` }
  const id: CredentialConfig = { spiffe: 'spiffe://example.org/tenant/*' }
  const owner = (acme: CredentialConfig[], globex: CredentialConfig[]): string | undefined => {
    const configs = [
      tenantConfig('acme', { credentials: acme }),
      tenantConfig('globex', { credentials: globex }),
    ]
    const found = ownerOfCertificate(certificate, TenantDirectory.compile(configs, 1))
    return typeof found === 'object' ? found.id : found
  }
  t.equal(owner([pin], []), 'acme')
  t.equal(owner([], [id]), 'globex')
  t.equal(owner([pin, id], []), 'acme')
  t.equal(owner([], []), undefined)
  t.equal(owner([pin], [id]), 'tenant_mismatch')
})

await test('mutated certificates: reading never throws, and a bad SVID never has a tenant', async t => {
  const directory = TenantDirectory.compile(
    [
      tenantConfig('acme', { credentials: [{ spiffe: 'spiffe://example.org/*' }] }),
      tenantConfig('globex', { credentials: [{ spiffe: ID }] }),
    ],
    1,
  )
  const { x509 } = await issue({ altNames: [uri(ID)], purposes: [CLIENT_AUTH] })
  const edit = fc.record({ at: fc.nat({ max: 100_000 }), byte: fc.integer({ min: 0, max: 255 }) })
  const seen = { read: 0, tenants: 0, refused: 0 }
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), edits => {
      const der = Buffer.from(x509.raw)
      for (const { at, byte } of edits) der[at % der.length] = byte
      const mutant = parsed(der)
      if (mutant === undefined) return
      const certificate = readClientCertificate(peer(mutant), TRUST, NOW)
      if (certificate === undefined) return
      seen.read += 1
      if (!/^[ -~]*$/.test(certificate.xfcc)) throw new Error(certificate.xfcc)
      const owner = ownerOfCertificate(certificate, directory)
      if (typeof owner === 'string') seen.refused += 1
      if (typeof owner !== 'object') return
      seen.tenants += 1
      if (!isSvidToPkijs(der)) throw new Error(`${owner.id}: ${der.toString('hex')}`)
    }),
    { numRuns: 3_000 },
  )
  t.ok(seen.tenants > 100 && seen.refused > 50, JSON.stringify(seen))
})

await test('describes the certificate as Envoy does', async t => {
  const subject = [attribute('C', 'DE'), attribute('O', 'Acme'), attribute('CN', 'web')]
  const certificate = await read({ subject, altNames: [uri(ID), dns('x')] })
  t.equal(certificate?.subject, 'CN=web,O=Acme,C=DE')
  t.equal(certificate?.xfcc, `Hash=${certificate?.digest};Subject="CN=web,O=Acme,C=DE";URI=${ID}`)
  t.match(certificate?.digest, /^[0-9a-f]{64}$/)
})

/** Reads the field as a strict receiver does: pairs split at ";", a value in quotes with backslash escapes. */
function parseXfcc(value: string): string[] {
  const pairs: string[] = []
  const pattern = /([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;=]*))(;|$)/gy
  for (let at = 0; at < value.length; at = pattern.lastIndex) {
    const match = pattern.exec(value)
    if (match === null) return ['unreadable']
    pairs.push(match[1] ?? '')
  }
  return pairs
}

await test('lets no text in a certificate break out of its value', async t => {
  const values = [
    'a";URI="spiffe://example.org/tenant/globex',
    'a\\',
    'a\\"',
    'x\r\nx-amt-tenant: globex',
    'x\0y',
    'a,Hash=b;By=c',
    '\u00e9\u{1f600}',
    ' #=+<>',
  ]
  for (const value of values) {
    const subject = [attribute('O', value), attribute('CN', value)]
    const certificate = await read({ subject, altNames: [uri(`http://${value}`), uri(value)] })
    const xfcc = certificate?.xfcc ?? ''
    t.match(xfcc, /^[ -~]+$/, 'printable ASCII')
    t.same(parseXfcc(xfcc), ['Hash', 'Subject', 'URI', 'URI'], xfcc)
  }
})

await test('gives the hash alone where a certificate holds too much text', async t => {
  const altNames = Array.from({ length: 100 }, (_, i) => uri(`http://${'x'.repeat(100)}/${i}`))
  const certificate = await read({ altNames })
  t.equal(certificate?.xfcc, `Hash=${certificate?.digest}`)
})

await test('reads the certificate of a real connection', async t => {
  const ca = await authority('ca')
  const { cert, key } = await svid(ID, ca)
  const server = createServer({
    key,
    cert,
    ca: ca.cert,
    requestCert: true,
    rejectUnauthorized: true,
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>
  const client = connect({ port, host: '127.0.0.1', key, cert, rejectUnauthorized: false })
  t.teardown(() => {
    client.destroy()
    server.close()
  })
  const [socket] = await accepted
  const certificate = readClientCertificate(socket, TRUST, NOW)
  socket.destroy()
  t.equal(certificate?.spiffeId, ID)
})
