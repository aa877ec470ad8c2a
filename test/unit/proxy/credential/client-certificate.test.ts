import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import forge from 'node-forge'
import { test } from 'tap'
import type { CredentialConfig } from '../../../../src/config/schema.ts'
import {
  type ClientCertificate,
  ownerOfCertificate,
  readClientCertificate,
} from '../../../../src/proxy/credential/client-certificate.ts'
import { TenantDirectory } from '../../../../src/proxy/tenant/directory.ts'
import { tenantConfig } from './token-issuer.ts'

const DAY_MS = 86_400_000
const NOW = Date.now()
const ID = 'spiffe://example.org/tenant/acme'
const keys = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
})

interface AltName {
  readonly type: number
  readonly value?: string
  readonly ip?: string
}

interface CertificateParts {
  readonly subject?: readonly forge.pki.CertificateField[]
  readonly altNames?: readonly AltName[]
  readonly ca?: boolean
  readonly endsAt?: number
}

/** node-forge writes one byte a character here. */
const uri = (value: string): AltName => ({
  type: 6,
  value: Buffer.from(value, 'utf8').toString('latin1'),
})
const dns = (value: string): AltName => ({ type: 2, value })

/** A self-signed certificate with whatever in it; node-forge checks nothing. */
function pemOf({
  subject,
  altNames = [],
  ca = false,
  endsAt = NOW + DAY_MS,
}: CertificateParts): string {
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.publicKeyFromPem(keys.publicKey)
  certificate.serialNumber = '01'
  certificate.validity.notBefore = new Date(NOW - 2 * DAY_MS)
  certificate.validity.notAfter = new Date(endsAt)
  const name = [...(subject ?? [{ name: 'commonName', value: 'acme' }])]
  certificate.setSubject(name)
  certificate.setIssuer(name)
  const extensions: object[] = [{ name: 'basicConstraints', cA: ca }]
  if (altNames.length > 0) extensions.push({ name: 'subjectAltName', altNames })
  certificate.setExtensions(extensions)
  certificate.sign(forge.pki.privateKeyFromPem(keys.privateKey), forge.md.sha256.create())
  return forge.pki.certificateToPem(certificate)
}

function read(parts: CertificateParts, authorized = true): ClientCertificate | undefined {
  const certificate = new X509Certificate(pemOf(parts))
  const socket = { authorized, getPeerX509Certificate: () => certificate }
  return readClientCertificate(socket, 'example.org', NOW)
}

await test('takes the SPIFFE id of an X.509-SVID', async t => {
  t.equal(read({ altNames: [uri(ID)] })?.spiffeId, ID)
  t.equal(read({ altNames: [dns('acme.example.com'), uri(ID)] })?.spiffeId, ID)
})

await test('takes no SPIFFE id from anything else', async t => {
  const cases: readonly (readonly [string, CertificateParts])[] = [
    ['no name', {}],
    ['two URIs', { altNames: [uri(ID), uri('spiffe://example.org/tenant/globex')] }],
    ['the same URI twice', { altNames: [uri(ID), uri(ID)] }],
    ['another URI beside it', { altNames: [uri(ID), uri('https://example.org')] }],
    ['an authority', { altNames: [uri(ID)], ca: true }],
    ['another trust domain', { altNames: [uri('spiffe://example.com/tenant/acme')] }],
    ['a longer trust domain', { altNames: [uri('spiffe://example.org.evil.com/tenant/acme')] }],
    ['a port', { altNames: [uri('spiffe://example.org:443/tenant/acme')] }],
    ['a user', { altNames: [uri('spiffe://example.org@evil.com/tenant/acme')] }],
    ['a dot segment', { altNames: [uri('spiffe://example.org/tenant/x/../acme')] }],
    ['an empty segment', { altNames: [uri('spiffe://example.org/tenant//acme')] }],
    ['a slash at the end', { altNames: [uri(`${ID}/`)] }],
    ['an escape', { altNames: [uri('spiffe://example.org/tenant/%61cme')] }],
    ['a query', { altNames: [uri(`${ID}?x`)] }],
    ['no path', { altNames: [uri('spiffe://example.org')] }],
    ['a NUL', { altNames: [uri(`${ID}\0.evil`)] }],
    ['a line break', { altNames: [uri(`${ID}\n`)] }],
    ['capitals', { altNames: [uri('SPIFFE://example.org/tenant/acme')] }],
    ['too long', { altNames: [uri(`${ID}/${'x'.repeat(2_048)}`)] }],
    ['an id in a DNS name', { altNames: [dns(`x, URI:${ID}`)] }],
    ['an id after a quote in a DNS name', { altNames: [dns(`x", URI:${ID}`)] }],
    ['an id in a mail address', { altNames: [{ type: 1, value: `a@b, URI:${ID}` }] }],
    ['an id within a URI', { altNames: [uri(`http://x, URI:${ID}`)] }],
    ['an id in the subject', { subject: [{ name: 'commonName', value: ID }] }],
  ]
  for (const [name, parts] of cases) t.equal(read(parts)?.spiffeId, undefined, name)
})

await test('takes no SPIFFE id where no trust domain is configured', async t => {
  const certificate = new X509Certificate(pemOf({ altNames: [uri(ID)] }))
  const socket = { authorized: true, getPeerX509Certificate: () => certificate }
  t.equal(readClientCertificate(socket, undefined, NOW)?.spiffeId, undefined)
})

await test('reads nothing from a certificate that was not verified, has expired or is not there', async t => {
  t.equal(read({ altNames: [uri(ID)] }, false), undefined)
  t.equal(read({ altNames: [uri(ID)], endsAt: NOW - DAY_MS }), undefined)
  const none = { authorized: true, getPeerX509Certificate: () => undefined }
  t.equal(readClientCertificate(none, 'example.org', NOW), undefined)
})

await test('finds the owner by digest or id, and none where they contradict each other', async t => {
  const certificate = read({ altNames: [uri(ID)] })
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

await test('describes the certificate as Envoy does', async t => {
  const subject = [
    { name: 'countryName', value: 'DE' },
    { name: 'organizationName', value: 'Acme' },
    { name: 'commonName', value: 'web' },
  ]
  const certificate = read({ subject, altNames: [uri(ID), dns('x')] })
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
    const subject = [
      { name: 'organizationName', value, valueTagClass: 12 as never },
      { name: 'commonName', value, valueTagClass: 12 as never },
    ]
    const certificate = read({ subject, altNames: [uri(`http://${value}`), uri(value)] })
    const xfcc = certificate?.xfcc ?? ''
    t.match(xfcc, /^[ -~]+$/, 'printable ASCII')
    t.same(parseXfcc(xfcc), ['Hash', 'Subject', 'URI', 'URI'], xfcc)
  }
})

await test('gives the hash alone where a certificate holds too much text', async t => {
  const altNames = Array.from({ length: 100 }, (_, i) => uri(`http://${'x'.repeat(100)}/${i}`))
  const certificate = read({ altNames })
  t.equal(certificate?.xfcc, `Hash=${certificate?.digest}`)
})

await test('reads the certificate of a real connection', async t => {
  const ca = pemOf({ altNames: [uri(ID)] })
  const server = createServer({
    key: keys.privateKey,
    cert: ca,
    ca,
    requestCert: true,
    rejectUnauthorized: true,
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>
  const client = connect({
    port,
    host: '127.0.0.1',
    key: keys.privateKey,
    cert: ca,
    rejectUnauthorized: false,
  })
  t.teardown(() => {
    client.destroy()
    server.close()
  })
  const [socket] = await accepted
  const certificate = readClientCertificate(socket, 'example.org', NOW)
  socket.destroy()
  t.equal(certificate?.spiffeId, ID)
})
