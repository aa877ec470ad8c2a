import { execFile } from 'node:child_process'
import { createHash, createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Test, test } from 'tap'
import {
  certificateDigest,
  createAuthority,
  issueServerCertificate,
  issueTenantCertificate,
  type KeyedCertificate,
} from '../../../../src/runtime/certificates/issue.ts'

const NOW = Date.now()
const LOCALHOST = { names: ['localhost'], addresses: [] }
const ACME = { tenant: 'acme', spiffeId: 'spiffe://example.org/tenant/acme' }
const execute = promisify(execFile)

/** What openssl says of a leaf under its authority, in the strict reading of RFC 5280. */
async function verify(t: Test, authority: KeyedCertificate, leaf: KeyedCertificate) {
  const cwd = t.testdir({ 'ca.crt': authority.cert, 'leaf.crt': leaf.cert })
  const args = ['verify', '-x509_strict', '-CAfile', 'ca.crt', 'leaf.crt']
  return (await execute('openssl', args, { cwd })).stdout.trim()
}

/** An authority as another program makes it, with that extension and a name of several kinds of text. */
async function foreignAuthority(t: Test, extension: string): Promise<KeyedCertificate> {
  const cwd = t.testdir()
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
  await writeFile(join(cwd, 'key'), key)
  const name = ['-subj', '/C=DE/O=Münz & Söhne/CN=theirs', '-utf8']
  const args = ['req', '-x509', '-key', 'key', '-out', 'crt', '-addext', extension, ...name]
  await execute('openssl', args, { cwd })
  return { cert: await readFile(join(cwd, 'crt'), 'utf8'), key }
}

await test('every certificate passes the strict checks of openssl and has the key beside it', async t => {
  const authority = await createAuthority('test', NOW)
  const server = await issueServerCertificate(authority, LOCALHOST, NOW)
  const tenant = await issueTenantCertificate(authority, ACME, NOW)
  for (const leaf of [server, tenant, authority]) {
    t.equal(await verify(t, authority, leaf), 'leaf.crt: OK')
    t.ok(new X509Certificate(leaf.cert).checkPrivateKey(createPrivateKey(leaf.key)))
  }
})

await test('addresses are the same in every spelling, beside the names', async t => {
  const authority = await createAuthority('test', NOW)
  const cases: [string, string][] = [
    ['127.0.0.1', '127.0.0.1'],
    ['::', '0:0:0:0:0:0:0:0'],
    ['2001:db8::7:1', '2001:DB8:0:0:0:0:7:1'],
    ['FE80::', 'FE80:0:0:0:0:0:0:0'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['::ffff:10.1.2.3', '0:0:0:0:0:FFFF:A01:203'],
  ]
  const subject = { names: ['a.test', '*.b.test'], addresses: cases.map(([address]) => address) }
  const { cert } = await issueServerCertificate(authority, subject, NOW)
  t.equal(
    new X509Certificate(cert).subjectAltName,
    `DNS:a.test, DNS:*.b.test, ${cases.map(([, wanted]) => `IP Address:${wanted}`).join(', ')}`,
  )
})

await test('what is no address is refused, and so is a server without any name', async t => {
  const authority = await createAuthority('test', NOW)
  const issue = (...addresses: string[]): Promise<KeyedCertificate> =>
    issueServerCertificate(authority, { names: [], addresses }, NOW)
  for (const address of ['10.0.0.256', '010.0.0.1', '1::2::3', 'fe80::1%lo', 'localhost', ''])
    await t.rejects(
      issue(address),
      { name: 'RangeError', message: /is not an IP address/ },
      address,
    )
  await t.rejects(issue(), { name: 'RangeError', message: /needs a name or an address/ })
})

await test('times change their form in 2050, and have whole seconds in both', async t => {
  const now = Date.UTC(2049, 5, 1, 12, 0, 0, 999)
  const authority = await createAuthority('test', now)
  const { cert } = await issueServerCertificate(authority, LOCALHOST, now)
  const bytes = new X509Certificate(cert).raw.toString('latin1')
  t.ok(bytes.includes('\x17\x0d490601115500Z'), 'a UTCTime')
  t.ok(bytes.includes('\x18\x0f20500601120000Z'), 'a GeneralizedTime')
})

await test('serial numbers are positive, random and 16 bytes long', async t => {
  const authority = await createAuthority('test', NOW)
  const serials = new Set<string>()
  for (let i = 0; i < 20; i += 1) {
    const { cert } = await issueTenantCertificate(authority, ACME, NOW)
    serials.add(new X509Certificate(cert).serialNumber)
  }
  t.equal(serials.size, 20)
  for (const serial of serials) t.match(serial, /^[4-7][0-9A-F]{31}$/)
})

await test('a long name is cut where common names end', async t => {
  const authority = await createAuthority('test', NOW)
  const name = `${'a'.repeat(60)}.${'b'.repeat(60)}.test`
  const issued = await issueServerCertificate(authority, { names: [name], addresses: [] }, NOW)
  const certificate = new X509Certificate(issued.cert)
  t.equal(certificate.subject, `CN=${name.slice(0, 64)}`)
  t.equal(certificate.checkHost(name), name)
})

await test('a key is named by the SHA-1 of its bits', async t => {
  const { cert } = await createAuthority('test', NOW)
  const { raw, publicKey } = new X509Certificate(cert)
  const bits = publicKey.export({ type: 'spki', format: 'der' }).subarray(-65)
  const keyId = createHash('sha1').update(bits).digest()
  t.ok(raw.includes(Buffer.concat([Buffer.of(0x04, 20), keyId])), 'as subject')
  t.ok(raw.includes(Buffer.concat([Buffer.of(0x80, 20), keyId])), 'as authority')
})

await test('an authority that others made is named as in its own certificate', async t => {
  const identifiers = ['subjectKeyIdentifier=01:02:03:04', 'subjectKeyIdentifier=none']
  for (const identifier of identifiers) {
    const authority = await foreignAuthority(t, identifier)
    const issued = await issueTenantCertificate(authority, ACME, NOW)
    const leaf = new X509Certificate(issued.cert)
    t.ok(leaf.checkIssued(new X509Certificate(authority.cert)), identifier)
    t.ok(leaf.verify(new X509Certificate(authority.cert).publicKey), identifier)
    const cwd = t.testdir({ crt: issued.cert })
    const args = ['x509', '-in', 'crt', '-noout', '-ext', 'authorityKeyIdentifier']
    const named = ['-issuer', '-nameopt', 'RFC2253,show_type']
    const { stdout } = await execute('openssl', [...args, ...named], { cwd })
    t.match(stdout, /CN=UTF8STRING:theirs,O=UTF8STRING:.*,C=PRINTABLESTRING:DE/)
    t.match(stdout, identifier.endsWith('none') ? /\s([0-9A-F]{2}:){19}/ : /\s01:02:03:04\n/)
  }
})

await test('an authority with a key of another kind is refused', async t => {
  const authority = await createAuthority('test', NOW)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
  await t.rejects(
    issueTenantCertificate({ ...authority, key }, ACME, NOW),
    /neither one of EC P-256 nor of RSA/,
  )
})

await test('the digest is the SHA-256 fingerprint in the form of the configuration', async t => {
  const { cert } = await createAuthority('test', NOW)
  const { fingerprint256 } = new X509Certificate(cert)
  t.equal(certificateDigest(cert), `sha256:${fingerprint256.replaceAll(':', '').toLowerCase()}`)
})
