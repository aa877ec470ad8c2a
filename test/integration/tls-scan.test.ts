/** What a scanner for weak TLS finds on a listener: docs/security.md says it, and this test holds it. */
import { TestAuthority } from '../support/certificates.ts'
import { OpensslAuthority, WITHOUT_OPENSSL } from '../support/openssl-authority.ts'
import { runCommand, skipWithout } from '../support/program.ts'
import { proxyTest, tenant } from '../support/proxy-lab.ts'

const WITHOUT_SSLSCAN: string | false =
  WITHOUT_OPENSSL === false ? skipWithout({ sslscan: 'sslscan' }) : WITHOUT_OPENSSL

const CIPHERS = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
]

await proxyTest(
  'sslscan finds no weak version, cipher or group, no renegotiation and no compression',
  async (t, lab) => {
    if (WITHOUT_SSLSCAN !== false) {
      t.comment(`skipped: ${WITHOUT_SSLSCAN}`)
      return
    }
    const ca = OpensslAuthority.root(t)
    const files = [ca.server(['acme.test']), ca.server(['acme.test'], 'rsa')]
    const clients = await TestAuthority.create(t)
    const proxy = await lab.proxy({
      listeners: [
        {
          name: 'public',
          mode: 'shared',
          address: '127.0.0.1:0',
          tls: {
            certificates: files.map(({ certPath, keyPath }) => ({ cert: certPath, key: keyPath })),
            clientCertificate: 'optional',
            clientCa: clients.certPath,
          },
        },
      ],
      tenants: [tenant('acme', await lab.deployment())],
    })
    const target = `127.0.0.1:${proxy.port('public')}`
    const scan = ['--no-colour', '--sni-name=acme.test', '--xml=-', target]
    const { code, stdout: output } = await runCommand(['sslscan', scan])
    const stdout = String(output)
    t.equal(code, 0)
    const found = (pattern: RegExp): string[] =>
      [...new Set([...stdout.matchAll(pattern)].map(([, value = '']) => value))].toSorted()
    const enabled = [...stdout.matchAll(/<protocol type="(\w+)" version="([\d.]+)" enabled="1"/g)]
    t.same(
      enabled.map(([, type, version]) => `${type} ${version}`),
      ['tls 1.2', 'tls 1.3'],
    )
    t.same(found(/<cipher [^>]*cipher="([^"]+)"/g), CIPHERS)
    t.same(found(/<group [^>]*name="([^"]+)"/g), [
      'secp256r1 (NIST P-256)',
      'secp384r1 (NIST P-384)',
      'x25519',
    ])
    t.match(stdout, /<renegotiation supported="0"/)
    t.notMatch(stdout, /<compression supported="1"/)
    t.notMatch(stdout, /<heartbleed [^>]*vulnerable="1"/)
  },
)
