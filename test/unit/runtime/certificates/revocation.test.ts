import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'tap'
import {
  createAuthority,
  issueTenantCertificate,
} from '../../../../src/runtime/certificates/issue.ts'
import {
  createRevocationList,
  readRevocationList,
} from '../../../../src/runtime/certificates/revocation.ts'

const execute = promisify(execFile)
const NOW = Date.now() - (Date.now() % 1_000)
const GOOD = { now: NOW, days: 30 }
const ca = await createAuthority('test', NOW)
const spiffeId = 'spiffe://example.org/tenant/acme'
const acme = await issueTenantCertificate(ca, { tenant: 'acme', spiffeId }, NOW)
const serial = new X509Certificate(acme.cert).serialNumber

await test('a list reads as it was made, empty or not, from authorities of any kind', async t => {
  const rsa = await createAuthority('test', NOW, { keyType: 'rsa' })
  for (const authority of [ca, rsa]) {
    for (const revoked of [
      new Map<string, number>(),
      new Map([
        [serial, NOW],
        ['00FF', 0],
        ['01', NOW],
      ]),
    ]) {
      const pem = await createRevocationList(authority, { number: 300, revoked }, GOOD)
      const read = await readRevocationList(pem, authority.cert)
      t.equal(read.number, 300)
      t.same(
        [...read.revoked].map(([digits, at]) => [BigInt(`0x${digits}`), at]),
        [...revoked].map(([digits, at]) => [BigInt(`0x${digits}`), at]),
      )
      t.equal(read.revoked.has(serial), revoked.has(serial), 'in the form of X509Certificate')
    }
  }
})

await test('openssl takes the list, and refuses what stands in it', async t => {
  const other = await issueTenantCertificate(ca, { tenant: 'globex', spiffeId }, NOW)
  const revoked = new Map([[serial, NOW]])
  const folder = t.testdir({ 'acme.crt': acme.cert, 'globex.crt': other.cert })
  const list = await createRevocationList(ca, { number: 1, revoked }, GOOD)
  await writeFile(join(folder, 'ca.pem'), ca.cert + list)
  const verify = (name: string): Promise<{ stdout: string }> =>
    execute(
      'openssl',
      ['verify', '-x509_strict', '-crl_check', '-CAfile', 'ca.pem', `${name}.crt`],
      { cwd: folder },
    )
  t.match((await verify('globex')).stdout, 'globex.crt: OK')
  await t.rejects(verify('acme'), /certificate revoked/)
  const old = await createRevocationList(
    ca,
    { number: 1, revoked },
    { now: NOW - 2 * 86_400_000, days: 1 },
  )
  await writeFile(join(folder, 'ca.pem'), ca.cert + old)
  await t.rejects(verify('globex'), /CRL has expired/)
})

await test('a list of another authority, a changed one, and other text are refused', async t => {
  const list = await createRevocationList(
    ca,
    { number: 1, revoked: new Map([[serial, NOW]]) },
    GOOD,
  )
  const stranger = await createAuthority('test', NOW)
  await t.rejects(readRevocationList(list, stranger.cert), /not signed by this authority/)
  const lines = list.split('\n')
  const changed = [
    ...lines.slice(0, -4),
    lines.at(-4)?.replace(/.$/, c => (c === 'A' ? 'B' : 'A')),
    ...lines.slice(-3),
  ]
  await t.rejects(readRevocationList(changed.join('\n'), ca.cert), RangeError)
  for (const text of ['', ca.cert, '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n'])
    await t.rejects(readRevocationList(text, ca.cert), /not a certificate revocation list/)
})
