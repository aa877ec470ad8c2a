import { KeyObject, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { Set as Asn1Set, Integer, Sequence, Utf8String } from 'asn1js'
import {
  AttributeTypeAndValue,
  BasicConstraints,
  Certificate,
  Extension,
  GeneralName,
  GeneralNames,
  id_BasicConstraints,
  id_SubjectAltName,
  RelativeDistinguishedNames,
  Time,
} from 'pkijs'
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
const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' } as const
const keys = await crypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify'])

/** Kinds of names (RFC 5280, 4.2.1.6) with one byte a character. */
const name = (type: 1 | 2 | 6, value: string): GeneralName =>
  new GeneralName({ type, value: Buffer.from(value, 'utf8').toString('latin1') })
const mail = (value: string): GeneralName => name(1, value)
const dns = (value: string): GeneralName => name(2, value)
const uri = (value: string): GeneralName => name(6, value)

const ATTRIBUTE = { CN: '2.5.4.3', C: '2.5.4.6', O: '2.5.4.10' } as const
const attribute = (kind: keyof typeof ATTRIBUTE, value: string): AttributeTypeAndValue =>
  new AttributeTypeAndValue({ type: ATTRIBUTE[kind], value: new Utf8String({ value }) })

interface CertificateParts {
  readonly subject?: AttributeTypeAndValue[]
  readonly altNames?: GeneralName[]
  readonly ca?: boolean
  readonly endsAt?: number
}

/** A self-signed certificate with whatever in it; nothing is checked. */
async function certificateOf({
  subject = [attribute('CN', 'acme')],
  altNames = [],
  ca = false,
  endsAt = NOW + DAY_MS,
}: CertificateParts): Promise<X509Certificate> {
  const extensions = [extension(id_BasicConstraints, new BasicConstraints({ cA: ca }))]
  if (altNames.length > 0)
    extensions.push(extension(id_SubjectAltName, new GeneralNames({ names: altNames })))
  const certificate = new Certificate({
    version: 2,
    serialNumber: new Integer({ value: 1 }),
    subject: nameOf(subject),
    notBefore: new Time({ value: new Date(NOW - 2 * DAY_MS) }),
    notAfter: new Time({ value: new Date(endsAt) }),
    extensions,
  })
  certificate.issuer = certificate.subject
  await certificate.subjectPublicKeyInfo.importKey(keys.publicKey)
  await certificate.sign(keys.privateKey, 'SHA-256')
  return new X509Certificate(Buffer.from(certificate.toSchema().toBER()))
}

/** Each attribute by itself, as nearly everybody has it; pkijs writes them as one of several parts. */
function nameOf(attributes: readonly AttributeTypeAndValue[]): RelativeDistinguishedNames {
  const value = attributes.map(part => new Asn1Set({ value: [part.toSchema()] }))
  return RelativeDistinguishedNames.fromBER(new Sequence({ value }).toBER())
}

function extension(extnID: string, value: BasicConstraints | GeneralNames): Extension {
  return new Extension({ extnID, extnValue: value.toSchema().toBER() })
}

async function read(
  parts: CertificateParts,
  authorized = true,
): Promise<ClientCertificate | undefined> {
  const certificate = await certificateOf(parts)
  const socket = { authorized, getPeerX509Certificate: () => certificate }
  return readClientCertificate(socket, 'example.org', NOW)
}

await test('takes the SPIFFE id of an X.509-SVID', async t => {
  t.equal((await read({ altNames: [uri(ID)] }))?.spiffeId, ID)
  t.equal((await read({ altNames: [dns('acme.example.com'), uri(ID)] }))?.spiffeId, ID)
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
    ['an id in a mail address', { altNames: [mail(`a@b, URI:${ID}`)] }],
    ['an id within a URI', { altNames: [uri(`http://x, URI:${ID}`)] }],
    ['an id in the subject', { subject: [attribute('CN', ID)] }],
  ]
  for (const [name, parts] of cases) t.equal((await read(parts))?.spiffeId, undefined, name)
})

await test('takes no SPIFFE id where no trust domain is configured', async t => {
  const certificate = await certificateOf({ altNames: [uri(ID)] })
  const socket = { authorized: true, getPeerX509Certificate: () => certificate }
  t.equal(readClientCertificate(socket, undefined, NOW)?.spiffeId, undefined)
})

await test('reads nothing from a certificate that was not verified, has expired or is not there', async t => {
  t.equal(await read({ altNames: [uri(ID)] }, false), undefined)
  t.equal(await read({ altNames: [uri(ID)], endsAt: NOW - DAY_MS }), undefined)
  const none = { authorized: true, getPeerX509Certificate: () => undefined }
  t.equal(readClientCertificate(none, 'example.org', NOW), undefined)
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
  const ca = (await certificateOf({ altNames: [uri(ID)] })).toString()
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' })
  const server = createServer({
    key,
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
    key,
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
