import { X509Certificate } from 'node:crypto'
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { test } from 'tap'
import { prepareState, type StateOptions, writeToken } from '../../../src/cli/up/state.ts'
import { createAuthority, issueServerCertificate } from '../../../src/runtime/certificates/issue.ts'

const YEAR_MS = 366 * 86_400_000
const options = (dir: string, more: Partial<StateOptions> = {}): StateOptions => ({
  dir,
  tenants: ['acme'],
  hosts: ['acme.localhost'],
  trustDomain: 'example.org',
  ...more,
})
const read = (dir: string, name: string): Promise<string> => readFile(join(dir, name), 'utf8')

await test('a second time nothing is made', async t => {
  const dir = t.testdir()
  t.equal((await prepareState(options(dir))).length, 12)
  t.same(await prepareState(options(dir)), [])
})

await test('only what is missing is made again', async t => {
  const dir = t.testdir()
  await prepareState(options(dir))
  const cases: [remove: string[], made: string[]][] = [
    [['mixer.token'], ['mixer.token']],
    [['jwks.json'], ['jwks.json']],
    [['acme.apikey.sha256'], ['acme.apikey.sha256']],
    [['acme.apikey'], ['acme.apikey', 'acme.apikey.sha256']],
    [['server.key'], ['server.key', 'server.crt']],
    [['acme.crt'], ['acme.key', 'acme.crt', 'acme.p12']],
  ]
  for (const [remove, made] of cases) {
    for (const name of remove) await rm(join(dir, name))
    t.same(await prepareState(options(dir)), made, remove.join())
  }
})

await test('a new tenant gets its own without a change to the others', async t => {
  const dir = t.testdir()
  await prepareState(options(dir))
  const made = await prepareState(options(dir, { tenants: ['acme', 'globex'] }))
  t.ok(made.length === 5 && made.every(name => name.startsWith('globex.')), made.join())
})

await test('secrets are for their owner only', async t => {
  const dir = t.testdir()
  await prepareState(options(dir))
  const open = /\.crt$|^jwks\.json$|\.sha256$|^logs$/
  for (const name of await readdir(dir)) {
    const mode = (await stat(join(dir, name))).mode & 0o077
    if (!open.test(name)) t.equal(mode, 0, name)
  }
})

await test('an authority that was made anew vouches for new certificates', async t => {
  const dir = t.testdir()
  await prepareState(options(dir))
  await rm(join(dir, 'ca.crt'))
  const made = await prepareState(options(dir))
  t.same(made, ['ca.key', 'ca.crt', 'server.key', 'server.crt', 'acme.key', 'acme.crt', 'acme.p12'])
  const authority = new X509Certificate(await read(dir, 'ca.crt'))
  t.ok(new X509Certificate(await read(dir, 'acme.crt')).verify(authority.publicKey))
})

await test('an expired certificate of our own is made anew, a foreign one stays', async t => {
  const dir = t.testdir()
  await prepareState(options(dir))
  const subject = { names: ['localhost'], addresses: [] }
  const authority = { cert: await read(dir, 'ca.crt'), key: await read(dir, 'ca.key') }
  const past = Date.now() - YEAR_MS
  const foreign = await createAuthority('somebody else', past)
  const put = async (issuer: typeof authority): Promise<void> => {
    const made = await issueServerCertificate(issuer, subject, past)
    await writeFile(join(dir, 'server.crt'), made.cert)
    await writeFile(join(dir, 'server.key'), made.key)
  }
  await put(authority)
  t.same(await prepareState(options(dir)), ['server.key', 'server.crt'])
  await put(foreign)
  t.same(await prepareState(options(dir)), [])
})

await test('an authority without its key is an error that says what to do', async t => {
  const dir = t.testdir()
  await prepareState(options(dir))
  await rm(join(dir, 'ca.key'))
  await t.rejects(
    prepareState(options(dir)),
    /ca\.crt is there without ca\.key: put the key beside it/,
  )
})

await test('the server certificate holds for the hosts of tenants', async t => {
  const dir = t.testdir()
  await prepareState(options(dir))
  const certificate = new X509Certificate(await read(dir, 'server.crt'))
  t.equal(certificate.checkHost('acme.localhost'), 'acme.localhost')
  t.equal(certificate.checkHost('localhost'), 'localhost')
  t.equal(certificate.checkIP('127.0.0.1'), '127.0.0.1')
})

await test('a token is signed by the key set of the folder and good for a day', async t => {
  const dir = t.testdir()
  await prepareState(options(dir))
  const claims = { issuer: 'https://issuer.localhost', audience: 'notes' }
  await writeToken(dir, { ...claims, tenant: 'acme', tenantClaim: ['realm', 'org'] })
  const token = (await read(dir, 'acme.jwt')).trim()
  const keys = createLocalJWKSet(JSON.parse(await read(dir, 'jwks.json')))
  const { payload, protectedHeader } = await jwtVerify(token, keys, claims)
  t.equal(protectedHeader.alg, 'ES256')
  t.match(payload, { realm: { org: 'acme' } })
  t.equal((payload.exp ?? 0) - (payload.iat ?? 0), 86_400)
})
