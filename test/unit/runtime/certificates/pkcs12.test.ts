import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { promisify } from 'node:util'
import { test } from 'tap'
import {
  createAuthority,
  issueTenantCertificate,
} from '../../../../src/runtime/certificates/issue.ts'
import { createPkcs12 } from '../../../../src/runtime/certificates/pkcs12.ts'

const execute = promisify(execFile)
const now = Date.now()
const ca = await createAuthority('test', now)
const spiffeId = 'spiffe://example.org/tenant/acme'
const keyed = await issueTenantCertificate(ca, { tenant: 'acme', spiffeId }, now)
const options = { name: 'acme', authority: ca.cert }

await test('the file opens with its password and with no other', async t => {
  for (const password of ['amt', 'pä ss', '€uro', '\u{1f600}', 'x'.repeat(200)]) {
    const pfx = await createPkcs12(keyed, { ...options, password })
    t.doesNotThrow(() => createSecureContext({ pfx, passphrase: password }), password)
    for (const passphrase of [`${password}x`, password.slice(1), ''])
      t.throws(() => createSecureContext({ pfx, passphrase }), `${passphrase} for ${password}`)
  }
})

await test('a file that was changed is refused', async t => {
  const pfx = await createPkcs12(keyed, { ...options, password: 'amt' })
  const at = pfx.indexOf(spiffeId)
  t.ok(at > 0)
  pfx.write('x', at)
  t.throws(() => createSecureContext({ pfx, passphrase: 'amt' }))
})

await test('openssl finds the key, its certificate and the authority under one name', async t => {
  const cwd = t.testdir()
  await writeFile(join(cwd, 'p12'), await createPkcs12(keyed, { ...options, password: 'amt' }))
  const args = ['pkcs12', '-in', 'p12', '-passin', 'pass:amt', '-nodes', '-info']
  const { stdout, stderr } = await execute('openssl', args, { cwd })
  for (const pem of [keyed.key, keyed.cert, ca.cert]) t.ok(stdout.includes(pem.trim()))
  t.equal(stdout.match(/friendlyName: acme/g)?.length, 2, 'of the key and of its certificate')
  const ids = [...stdout.matchAll(/localKeyID: (.*)/g)].map(([, id]) => id)
  t.equal(ids.length, 2)
  t.equal(ids[0], ids[1])
  t.match(stderr, /MAC: sha256, Iteration 10000/)
  t.match(stderr, /PBES2, PBKDF2, AES-256-CBC, Iteration 10000, PRF hmacWithSHA256/)
})

await test('two files of the same have nothing encrypted alike', async t => {
  const [one, other] = await Promise.all(
    [1, 2].map(() => createPkcs12(keyed, { ...options, password: 'amt' })),
  )
  const vector = (file: Buffer | undefined): string => {
    const aes256 = Buffer.from('060960864801650304012a0410', 'hex')
    const at = file?.indexOf(aes256) ?? -1
    return at < 0
      ? 'none'
      : (file?.toString('hex', at + aes256.length, at + aes256.length + 16) ?? '')
  }
  t.match(vector(one), /^[0-9a-f]{32}$/)
  t.not(vector(one), vector(other))
  t.notOk(one?.subarray(-70).equals(other?.subarray(-70) ?? Buffer.alloc(0)), 'salt of the MAC')
})
