import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { cp, readFile, stat, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { t as root, type Test, test } from 'tap'
import { runAmt } from '../support/amt.ts'
import { skipWithout } from '../support/program.ts'

// Many whole programs are started, on a machine that may be busy.
root.setTimeout(300_000)

const execute = promisify(execFile)
const openssl = async (cwd: string, ...args: string[]): Promise<string> =>
  (await execute('openssl', args, { cwd })).stdout

/** Made once: each start of a program takes half a second. */
let authority: string | undefined

/** A folder with an authority in it, as `amt certs init` makes one. */
async function withAuthority(
  t: Test,
  files: Record<string, Record<string, never>> = {},
): Promise<string> {
  if (authority === undefined) {
    authority = root.testdir()
    const { code, stderr } = await runAmt(['certs', 'init'], { cwd: authority })
    if (code !== 0) throw new Error(stderr)
  }
  const cwd = t.testdir(files)
  await cp(join(authority, 'certs'), join(cwd, 'certs'), { recursive: true })
  return cwd
}

await test('certs makes an authority, a server and a tenant certificate that openssl takes', async t => {
  const cwd = t.testdir()
  const init = await runAmt(['certs', 'init'], { cwd })
  t.equal(init.code, 0, init.stderr)
  t.match(init.stdout, 'clientCa: certs/ca.crt')
  const server = await runAmt(['certs', 'server'], { cwd })
  t.match(server.stdout, 'certificates: [ { cert: certs/server.crt, key: certs/server.key } ]')
  const tenant = await runAmt(['certs', 'tenant', '--tenant', 'acme'], { cwd })
  t.match(tenant.stdout, '- spiffe: spiffe://example.org/tenant/acme')

  const verify = ['verify', '-x509_strict', '-CAfile', 'certs/ca.crt', '-purpose']
  t.match(await openssl(cwd, ...verify, 'sslserver', 'certs/server.crt'), 'server.crt: OK')
  t.match(await openssl(cwd, ...verify, 'sslclient', 'certs/acme.crt'), 'acme.crt: OK')
  await t.rejects(openssl(cwd, ...verify, 'sslclient', 'certs/server.crt'), 'a server is no tenant')
  await t.rejects(openssl(cwd, ...verify, 'sslserver', 'certs/acme.crt'), 'a tenant is no server')

  const authority = await openssl(cwd, 'x509', '-in', 'certs/ca.crt', '-noout', '-text')
  t.match(authority, 'CA:TRUE, pathlen:0', 'it makes no further authorities')

  const pin = /certificate: sha256:([0-9a-f]{64})/.exec(tenant.stdout)?.[1]
  const fingerprint = await openssl(
    cwd,
    'x509',
    '-in',
    'certs/acme.crt',
    '-noout',
    '-fingerprint',
    '-sha256',
  )
  t.equal(fingerprint.trim().split('=')[1]?.replaceAll(':', '').toLowerCase(), pin)
})

await test('the certificate of a tenant keeps the rules of X.509-SVID', async t => {
  const cwd = await withAuthority(t)
  await runAmt(['certs', 'tenant', '--tenant', 'acme', '--trust-domain', 'corp.test'], { cwd })
  const text = await openssl(cwd, 'x509', '-in', 'certs/acme.crt', '-noout', '-text')
  t.match(text, /X509v3 Basic Constraints: critical\s+CA:FALSE/)
  t.match(text, /X509v3 Key Usage: critical\s+Digital Signature\n/)
  t.match(
    text,
    /Alternative Name: *\n\s+URI:spiffe:\/\/corp\.test\/tenant\/acme\n/,
    'one URI, nothing else',
  )
  t.match(text, /Extended Key Usage: *\n\s+TLS Web Client Authentication\n/)
  t.match(text, 'ASN1 OID: prime256v1')
})

await test('certificates are good from a few minutes ago: leafs for a year, the authority for ten', async t => {
  const cwd = await withAuthority(t)
  await runAmt(['certs', 'server'], { cwd })
  const days: Record<string, number> = { ca: 3650, server: 365 }
  for (const [name, wanted] of Object.entries(days)) {
    const certificate = new X509Certificate(await readFile(join(cwd, 'certs', `${name}.crt`)))
    const age = Date.now() - certificate.validFromDate.getTime()
    t.ok(age > 4 * 60_000 && age < 10 * 60_000, `${name} is backdated`)
    const left = (certificate.validToDate.getTime() - Date.now()) / 86_400_000
    t.ok(Math.abs(left - wanted) < 0.1, `${name}: ${left} days left`)
  }
})

await test('names and addresses of a server certificate replace the local ones', async t => {
  const cwd = await withAuthority(t)
  const alternatives = async (...args: string[]): Promise<string | undefined> => {
    const { code, stderr } = await runAmt(['certs', 'server', '--force', ...args], { cwd })
    t.equal(code, 0, stderr)
    return new X509Certificate(await readFile(join(cwd, 'certs', 'server.crt'))).subjectAltName
  }
  t.equal(await alternatives('--name', 'a.test', '--name', '*.b.test'), 'DNS:a.test, DNS:*.b.test')
  t.equal(await alternatives('--ip', '10.0.0.1'), 'IP Address:10.0.0.1')
  const local = 'DNS:localhost, DNS:*.localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1'
  t.equal(await alternatives(), local)
})

await test('a real handshake takes them on both sides, from PEM and from PKCS#12', async t => {
  const cwd = t.testdir()
  for (const args of [
    ['init'],
    ['server', '--name', 'localhost', '--name', '*.acme.test', '--ip', '127.0.0.1'],
    ['tenant', '--tenant', 'acme', '--password', 'pä ss'],
  ]) {
    t.equal((await runAmt(['certs', ...args], { cwd })).code, 0)
  }
  const file = async (name: string): Promise<Buffer> => readFile(join(cwd, 'certs', name))
  const [ca, cert, key] = [await file('ca.crt'), await file('server.crt'), await file('server.key')]
  const server = createServer({ ca, cert, key, requestCert: true, rejectUnauthorized: true })
  t.teardown(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0

  const pem = { cert: await file('acme.crt'), key: await file('acme.key') }
  const pkcs12 = { pfx: await file('acme.p12'), passphrase: 'pä ss' }
  for (const [name, identity] of Object.entries({ pem, pkcs12 })) {
    for (const host of ['localhost', 'eu.acme.test', '127.0.0.1']) {
      const servername = isIP(host) ? {} : { servername: host }
      const accepted = once(server, 'secureConnection')
      const client = connect({ port, host: '127.0.0.1', ca, ...servername, ...identity })
      await once(client, 'secureConnect')
      t.ok(client.authorized, `${name} to ${host}`)
      const [peer]: TLSSocket[] = await accepted
      t.equal(peer?.getPeerCertificate().subjectaltname, 'URI:spiffe://example.org/tenant/acme')
      client.destroy()
    }
  }
})

await test('PKCS#12 opens with its password alone, and holds key and chain', async t => {
  const cwd = await withAuthority(t)
  await runAmt(['certs', 'tenant', '--tenant', 'acme'], { cwd })
  const open = (password: string): Promise<string> =>
    openssl(cwd, 'pkcs12', '-in', 'certs/acme.p12', '-passin', `pass:${password}`, '-nodes')
  const content = await open('amt')
  t.equal(content.match(/BEGIN CERTIFICATE/g)?.length, 2)
  t.match(content, 'friendlyName: acme')
  t.ok(content.includes((await readFile(join(cwd, 'certs', 'acme.key'), 'utf8')).trim()))
  await t.rejects(open('wrong'))
})

const P12 = { password: 'amt 12', args: ['--password', 'amt 12'] }

await test('Java imports the PKCS#12 files, of both kinds of keys', {
  skip: skipWithout({ keytool: 'openjdk-17-jre-headless' }),
}, async t => {
  const cwd = await withAuthority(t)
  for (const type of ['ec', 'rsa']) {
    await runAmt(['certs', 'tenant', '--tenant', type, '--key-type', type, ...P12.args], { cwd })
    await execute(
      'keytool',
      [
        '-importkeystore',
        '-noprompt',
        '-srckeystore',
        `certs/${type}.p12`,
        '-srcstorepass',
        P12.password,
        '-srcstoretype',
        'PKCS12',
        '-destkeystore',
        'store.p12',
        '-deststorepass',
        'changeit',
      ],
      { cwd },
    )
  }
  const list = ['-list', '-v', '-keystore', 'store.p12', '-storepass', 'changeit']
  const { stdout } = await execute('keytool', list, { cwd })
  t.match(stdout, 'Alias name: ec')
  t.match(stdout, 'Alias name: rsa')
  t.equal(stdout.match(/Entry type: PrivateKeyEntry/g)?.length, 2)
  t.equal(stdout.match(/Certificate chain length: 2/g)?.length, 2)
})

await test('browsers (NSS) import the PKCS#12 files, of both kinds of keys', {
  skip: skipWithout({ pk12util: 'libnss3-tools', certutil: 'libnss3-tools' }),
}, async t => {
  const cwd = await withAuthority(t, { nss: {} })
  const nss = async (program: string, ...args: string[]): Promise<string> =>
    (await execute(program, [...args, '-d', 'sql:nss'], { cwd })).stdout
  await nss('certutil', '-N', '--empty-password')
  await nss('certutil', '-A', '-n', 'ca', '-t', 'TC,,', '-i', 'certs/ca.crt')
  for (const type of ['ec', 'rsa']) {
    await runAmt(['certs', 'tenant', '--tenant', type, '--key-type', type, ...P12.args], { cwd })
    await nss('pk12util', '-i', `certs/${type}.p12`, '-W', P12.password)
    t.match(await nss('certutil', '-K'), new RegExp(`${type} .*${type}\n`))
    t.match(await nss('certutil', '-V', '-n', type, '-u', 'C'), 'certificate is valid')
  }
})

await test('a certificate is good for as many days as were asked for, and may have an RSA key', async t => {
  const cwd = t.testdir()
  for (const args of [
    ['init', '--days', '20', '--key-type', 'rsa'],
    ['server', '--days', '2'],
    ['tenant', '--tenant', 'acme', '--days', '1', '--key-type', 'rsa'],
  ]) {
    const { code, stderr } = await runAmt(['certs', ...args], { cwd })
    t.equal(code, 0, stderr)
  }
  for (const [name, days, type] of [
    ['ca', 20, 'rsa'],
    ['server', 2, 'ec'],
    ['acme', 1, 'rsa'],
  ] as const) {
    const certificate = new X509Certificate(await readFile(join(cwd, 'certs', `${name}.crt`)))
    const left = (certificate.validToDate.getTime() - Date.now()) / 86_400_000
    t.ok(Math.abs(left - days) < 0.1, `${name}: ${left} days left`)
    t.equal(certificate.publicKey.asymmetricKeyType, type)
    if (type === 'rsa') t.equal(certificate.publicKey.asymmetricKeyDetails?.modulusLength, 3_072)
  }
  const verify = ['verify', '-x509_strict', '-CAfile', 'certs/ca.crt']
  t.match(await openssl(cwd, ...verify, 'certs/server.crt', 'certs/acme.crt'), 'acme.crt: OK')
})

await test('revoke makes a list, adds to it and renews it', async t => {
  const cwd = await withAuthority(t)
  for (const args of [['server'], ['tenant', '--tenant', 'a'], ['tenant', '--tenant', 'b']])
    await runAmt(['certs', ...args], { cwd })
  const revoke = (...args: string[]): ReturnType<typeof runAmt> =>
    runAmt(['certs', 'revoke', ...args], { cwd })
  const list = (): Promise<string> =>
    openssl(cwd, 'crl', '-in', 'certs/ca.crl', '-CAfile', 'certs/ca.crt', '-noout', '-text')
  const count = (text: string): number => text.match(/Serial Number/g)?.length ?? 0

  const first = await revoke()
  t.match(first.stdout, 'It has 0 certificates, and is good for 30 days.')
  t.match(first.stdout, 'crl: [ certs/ca.crl ]')
  t.match(await list(), 'No Revoked Certificates')
  t.match((await revoke('certs/a.crt', '--days', '3')).stdout, 'It has one certificate')
  const one = await list()
  t.equal(count(one), 1)
  const { serialNumber } = new X509Certificate(await readFile(join(cwd, 'certs', 'a.crt')))
  t.match(one, `Serial Number: ${serialNumber}`)
  await revoke('certs/a.crt', 'certs/b.crt')
  const both = await list()
  t.equal(count(both), 2, 'nothing is lost, and nothing is there twice')
  t.match(both, /CRL Number: \n\s+3\n/)
  t.match((await revoke()).stdout, 'It has 2 certificates')

  await runAmt(['certs', 'init', '--dir', 'other'], { cwd })
  await runAmt(['certs', 'server', '--dir', 'other'], { cwd })
  await writeFile(join(cwd, 'other', 'ca.crl'), await readFile(join(cwd, 'certs', 'ca.crl')))
  const cases: [string[], string][] = [
    [['certs/none.crt'], 'certs/none.crt cannot be read as a certificate'],
    [['certs/a.key'], 'certs/a.key cannot be read as a certificate'],
    [['certs/ca.crt'], 'certs/ca.crt is the authority itself'],
    [['other/server.crt'], 'other/server.crt was not issued by this authority'],
    [['--dir', 'other'], 'other/ca.crl cannot be added to: it was not signed by this authority'],
    [['--days', '0'], 'a number from 1 to 36500'],
  ]
  for (const [args, wanted] of cases) {
    const { code, stderr } = await revoke(...args)
    t.equal(code, 2, args.join(' '))
    t.match(stderr, wanted)
  }
  t.equal(count(await list()), 2, 'a mistake changes nothing')
})

await test('an authority that cannot issue is refused with the reason', async t => {
  const cwd = t.testdir()
  for (const dir of ['certs', 'other']) await runAmt(['certs', 'init', '--dir', dir], { cwd })
  const file = async (name: string): Promise<string> => readFile(join(cwd, name), 'utf8')
  const key = await file('certs/ca.key')
  const tryWith = async (name: string, content: string, wanted: string): Promise<void> => {
    await writeFile(join(cwd, 'certs', name), content)
    const { code, stderr } = await runAmt(['certs', 'server'], { cwd })
    t.equal(code, 2)
    t.match(stderr, `no authority in certs: ${wanted}`)
    t.notOk(stderr.includes(key.split('\n')[1] ?? ''), 'no key in the error')
  }
  await tryWith('ca.key', await file('other/ca.key'), 'ca.key is not the key of ca.crt')
  await tryWith('ca.key', 'nonsense', '')
  await runAmt(['certs', 'server', '--dir', 'other'], { cwd })
  await tryWith('ca.crt', await file('other/server.crt'), 'ca.crt is not the certificate of')
})

await test('keys are for their owner only', async t => {
  const cwd = t.testdir()
  await runAmt(['certs', 'init'], { cwd })
  await runAmt(['certs', 'tenant', '--tenant', 'acme'], { cwd })
  const mode = async (name: string): Promise<number> => (await stat(join(cwd, name))).mode & 0o777
  t.equal(await mode('certs'), 0o700)
  for (const name of ['ca.key', 'acme.key', 'acme.p12'])
    t.equal(await mode(`certs/${name}`), 0o600, name)
})

await test('nothing is overwritten without --force', async t => {
  const cwd = await withAuthority(t)
  await writeFile(join(cwd, 'certs', 'server.key'), 'mine')
  const refused = await runAmt(['certs', 'server'], { cwd })
  t.equal(refused.code, 2)
  t.match(refused.stderr, 'certs/server.key is there already; --force overwrites it')
  t.equal(await readFile(join(cwd, 'certs', 'server.key'), 'utf8'), 'mine')
  await t.rejects(stat(join(cwd, 'certs', 'server.crt')), 'nothing else was written either')
  t.equal((await runAmt(['certs', 'server', '--force'], { cwd })).code, 0)
  t.match(await readFile(join(cwd, 'certs', 'server.key'), 'utf8'), 'BEGIN PRIVATE KEY')
})

await test('wrong values and a missing authority end with 2 and say what to do', async t => {
  const cwd = t.testdir()
  const cases: [string[], string][] = [
    [['server'], 'amt certs init --dir certs'],
    [['tenant'], '--tenant'],
    [['tenant', '--tenant', 'A_b'], '1 to 63 of a-z'],
    [['tenant', '--tenant', 'a', '--trust-domain', 'a/b'], 'trust domain such as'],
    [['tenant', '--tenant', 'a', '--password', ''], 'password'],
    [['server', '--ip', '10.0.0.256'], 'IP address'],
    [['server', '--name', 'a..b'], 'host name'],
    [['server', '--days', '1.5'], 'a number from 1 to 36500'],
    [['server', '--key-type', 'dsa'], 'Allowed choices are ec, rsa'],
  ]
  for (const [args, wanted] of cases) {
    const { code, stderr } = await runAmt(['certs', ...args], { cwd })
    t.equal(code, 2, args.join(' '))
    t.match(stderr, wanted)
  }
})
