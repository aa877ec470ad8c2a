/** The rules of X.509-SVID, each by its name (X509-SVID, sections 2 to 5). */

import { X509Certificate } from 'node:crypto'
import { test } from 'tap'
import { readCertificateFacts } from '../../../../src/codec/certificate-facts.ts'
import {
  createAuthority,
  issueTenantCertificate,
} from '../../../../src/runtime/certificates/issue.ts'
import { readSvid } from '../../../../src/runtime/certificates/x509-svid.ts'
import {
  ANY_PURPOSE,
  type CertificateParts,
  CLIENT_AUTH,
  dns,
  issue,
  mail,
  SERVER_AUTH,
  uri,
} from '../../../support/custom-certificate.ts'

const ID = 'spiffe://example.org/tenant/acme'

async function read(parts: CertificateParts): Promise<unknown> {
  const { x509 } = await issue(parts)
  return readSvid(readCertificateFacts(x509.raw))
}

async function accepted(parts: CertificateParts): Promise<boolean> {
  return typeof (await read({ altNames: [uri(ID)], ...parts })) === 'object'
}

await test('the id is the URI in subjectAltName; other kinds of names may stand beside it', async t => {
  const svid = { id: ID, trustDomain: 'example.org' }
  t.same(await read({ altNames: [uri(ID)] }), svid)
  t.same(await read({ altNames: [dns('acme.example.com'), uri(ID), mail('a@b')] }), svid)
})

await test('exactly one URI: a certificate with two is refused, even if one of them is fine', async t => {
  for (const others of [
    [uri(ID), uri('spiffe://example.org/tenant/globex')],
    [uri(ID), uri(ID)],
    [uri(ID), uri('https://example.org')],
    [uri('https://example.org'), uri(ID)],
    [uri(ID), uri('')],
    [uri('urn:x'), uri('urn:y'), uri(ID)],
  ])
    t.equal(await read({ altNames: others }), 'invalid')
})

await test('a certificate without a SPIFFE id is no SVID, and no bad one', async t => {
  for (const altNames of [
    [],
    [dns('x')],
    [uri('https://example.org')],
    [uri('https://a'), uri('https://b')],
    [dns(`x, URI:${ID}`)],
    [dns(`x", URI:${ID}`)],
    [mail(`a@b, URI:${ID}`)],
    [uri(`http://x, URI:${ID}`)],
  ])
    t.equal(await read({ altNames, authority: true, keyUsage: 'absent' }), undefined)
})

await test('an id that is not valid makes a bad SVID, not a certificate of another kind', async t => {
  for (const id of [
    'spiffe://example.org',
    'spiffe://example.org/',
    'SPIFFE://example.org/x',
    'spiffe://Example.org/x',
    `${ID}/`,
    `${ID}?x`,
    `${ID}\0`,
    'spiffe://example.org:1/x',
    'spiffe:',
    `${ID}/${'x'.repeat(2_048)}`,
  ])
    t.equal(await read({ altNames: [uri(id)] }), 'invalid', id.slice(0, 40))
})

await test('the CA flag must be false, whatever else the certificate says', async t => {
  t.equal(await accepted({ authority: 'absent' }), true)
  t.equal(await accepted({ authority: false }), true)
  t.equal(await accepted({ authority: true }), false, 'also where key usage forbids to sign')
  t.equal(await accepted({ authority: true, keyUsage: ['keyCertSign'] }), false)
})

await test('keyUsage must be there, be critical and have digitalSignature', async t => {
  t.equal(await accepted({ keyUsage: 'absent' }), false)
  t.equal(await accepted({ keyUsage: [] }), false)
  t.equal(await accepted({ keyUsage: ['keyEncipherment', 'keyAgreement'] }), false)
  t.equal(await accepted({ keyUsageCritical: false }), false)
  t.equal(
    await accepted({ keyUsage: ['digitalSignature', 'keyEncipherment', 'keyAgreement'] }),
    true,
  )
})

await test('keyUsage must not have keyCertSign or cRLSign', async t => {
  t.equal(await accepted({ keyUsage: ['digitalSignature', 'keyCertSign'] }), false)
  t.equal(await accepted({ keyUsage: ['digitalSignature', 'cRLSign'] }), false)
  t.equal(await accepted({ keyUsage: ['digitalSignature', 'keyCertSign', 'cRLSign'] }), false)
})

await test('extendedKeyUsage, where it is there, must have clientAuth', async t => {
  t.equal(await accepted({ purposes: [CLIENT_AUTH] }), true)
  t.equal(await accepted({ purposes: [SERVER_AUTH, CLIENT_AUTH] }), true)
  t.equal(await accepted({ purposes: [SERVER_AUTH] }), false)
  t.equal(await accepted({ purposes: [ANY_PURPOSE] }), false)
})

await test('without a subject, subjectAltName must be critical', async t => {
  t.equal(await accepted({ subject: [], altNamesCritical: true }), true)
  t.equal(await accepted({ subject: [], altNamesCritical: false }), false)
  t.equal(await accepted({ altNamesCritical: true }), true)
})

await test('a certificate that cannot be read is a bad SVID: nobody knows what is in it', async t => {
  t.equal(readSvid(undefined), 'invalid')
})

await test('what `amt certs` issues is an X.509-SVID', async t => {
  const ca = await createAuthority('test', Date.now())
  const { cert } = await issueTenantCertificate(ca, { tenant: 'acme', spiffeId: ID }, Date.now())
  t.match(readSvid(readCertificateFacts(new X509Certificate(cert).raw)), { id: ID })
})
