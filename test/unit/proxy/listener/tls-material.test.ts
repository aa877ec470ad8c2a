/** What is wrong with the TLS files of a listener is said in whole sentences, all at once, and never thrown. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import {
  authoritiesWithoutList,
  type ListenerTls,
  readTlsMaterial,
} from '../../../../src/proxy/listener/tls-material.ts'
import { TestAuthority } from '../../../support/certificates.ts'
import { OpensslAuthority, WITHOUT_OPENSSL } from '../../../support/openssl-authority.ts'
import { proxyConfig } from '../../../support/start-proxy.ts'

function settings(tls: Record<string, unknown>): { name: string; tls: ListenerTls } {
  const listener = { name: 'public', mode: 'shared', address: '127.0.0.1:0', tls }
  const [config] = proxyConfig({ listeners: [listener] }).listeners
  if (config?.tls === undefined) throw new Error('no TLS')
  return { name: config.name, tls: config.tls }
}

function problemsOf(tls: Record<string, unknown>): readonly string[] {
  const read = readTlsMaterial(settings(tls))
  return 'problems' in read ? read.problems : []
}

await test('each file that cannot be used is named', async t => {
  const ca = await TestAuthority.create(t)
  const [one, other] = [await ca.server(['a.test']), await ca.server(['b.test'])]
  const folder = t.testdir({ empty: '', nonsense: 'no certificate', half: one.cert.slice(0, 200) })
  const at = (name: string): string => join(folder, name)
  const good = { cert: one.certPath, key: one.keyPath }
  const required = { clientCertificate: 'required', clientCa: ca.certPath }
  t.same(problemsOf({ certificates: [good], ...required }), [])
  const cases: [string, Record<string, unknown>, RegExp][] = [
    [
      'another key',
      { certificates: [{ cert: one.certPath, key: other.keyPath }] },
      /cannot be used: .*mismatch/,
    ],
    [
      'no file',
      { certificates: [{ cert: at('nothing'), key: one.keyPath }] },
      /nothing cannot be read: ENOENT/,
    ],
    [
      'an empty file',
      { certificates: [{ cert: at('empty'), key: one.keyPath }] },
      /empty is empty/,
    ],
    [
      'half a certificate',
      { certificates: [{ cert: at('half'), key: one.keyPath }] },
      /half holds a certificate that cannot be read/,
    ],
    [
      'a certificate as key',
      { certificates: [{ cert: one.certPath, key: one.certPath }] },
      /cannot be used/,
    ],
    [
      'no authority',
      { certificates: [good], ...required, clientCa: at('nonsense') },
      /nonsense holds no certificate/,
    ],
    [
      'no list',
      { certificates: [good], ...required, crl: [ca.certPath] },
      /holds no revocation list that can be read/,
    ],
  ]
  for (const [name, tls, pattern] of cases) {
    const [problem = '', ...others] = problemsOf(tls)
    t.match(problem, pattern, name)
    t.match(problem, /^listener "public": /)
    t.same(others, [])
  }
  const all = problemsOf({
    certificates: [good],
    ...required,
    clientCa: [at('nonsense'), at('half')],
    crl: [at('empty')],
  })
  t.equal(all.length, 4, 'two authorities, and a list that is empty and none')
})

await test('without client certificates no authority and no list is read', async t => {
  const ca = await TestAuthority.create(t)
  const { certPath, keyPath } = await ca.server(['a.test'])
  const certificates = [{ cert: certPath, key: keyPath }]
  t.same(problemsOf({ certificates, clientCa: '/nowhere', crl: ['/nowhere'] }), [])
})

await test('an authority without a list is told where others have one', {
  skip: WITHOUT_OPENSSL,
}, t => {
  const [root, other] = [OpensslAuthority.root(t), OpensslAuthority.root(t, 'other')]
  const { certPath, keyPath } = root.server(['a.test'])
  const folder = t.testdir({})
  const both = join(folder, 'both.crt')
  writeFileSync(both, root.cert + other.cert)
  const withLists = (crl: readonly string[]): string[] => {
    const certificates = [{ cert: certPath, key: keyPath }]
    const read = readTlsMaterial(
      settings({ certificates, clientCertificate: 'optional', clientCa: both, crl }),
    )
    return 'material' in read ? authoritiesWithoutList(read.material) : [...read.problems]
  }
  t.same(withLists([]), [])
  t.same(withLists([root.revocationList([])]), ['CN=other'])
  t.same(withLists([root.revocationList([]), other.revocationList([], { form: 'DER' })]), [])
  t.end()
})
